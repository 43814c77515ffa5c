package core_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
)

// TestAnAPIServerThatDoesNotAnswerIsNamed, once for as long as it lasts, whatever each question ends with.
func TestAnAPIServerThatDoesNotAnswerIsNamed(t *testing.T) {
	r := newRig(t, core.Config{Silence: 5 * time.Second})
	r.up()
	r.step(core.Asked{}, core.Asked{Err: errBroken})
	if len(r.reported.Conditions) != 0 || r.wake != r.now.Add(5*time.Second) {
		t.Fatalf("conditions %v, wakes at %s; want none yet, and to look again in time", r.reported.Conditions, r.wake)
	}
	r.now = r.now.Add(4 * time.Second)
	r.step(core.Asked{Err: errors.New("another")})
	r.pass(time.Second)
	if all := r.reported.Conditions; len(all) != 1 || !strings.Contains(all[0].Message, errBroken.Error()) {
		t.Fatalf("conditions %v, want one with what began it", all)
	}
	if !r.state.Ready() {
		t.Error("not ready although what was known last is in force")
	}
	r.step(core.Asked{})
	if len(r.reported.Conditions) != 0 {
		t.Errorf("conditions %v when it answers again", r.reported.Conditions)
	}
}
