package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
)

func TestChangesDuringAProgramMakeOneNextProgram(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	before := r.programs
	for i := range 5 {
		r.step(core.Changed{Object: object("web", pods(1), netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}).String())})
	}
	if r.programs != before+1 {
		t.Fatalf("%d programs for changes while one is under way, want 1", r.programs-before)
	}
	r.step(core.Programmed{})
	if r.programs != before+2 {
		t.Fatalf("%d programs, want one more for the four changes that waited", r.programs-before)
	}
	if got := r.program.Input.Endpoints[0].Spec.Ingress[0].CIDR; got != "10.9.0.4" {
		t.Errorf("the second program has %s, want the last change", got)
	}
	r.step(core.Programmed{})
	if r.program != nil {
		t.Error("a program without a change")
	}
}

// TestWhatDidNotFitIsTriedAgain: pods that are closed because a table could not grow stay so no longer than that lasts, and hold up nothing.
func TestWhatDidNotFitIsTriedAgain(t *testing.T) {
	r := newRig(t, core.Config{RetryFirst: time.Second, RetryMax: 3 * time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
		r.step(core.Programmed{Again: errBroken})
		if len(r.reported.Conditions) != 1 || !r.state.Ready() || r.program != nil {
			t.Fatalf("conditions %v, ready %v, program %v after a table did not grow", r.reported.Conditions, r.state.Ready(), r.program)
		}
		if r.wake != r.now.Add(wait) {
			t.Fatalf("wakes at %v, want %v after %v", r.wake, wait, r.now)
		}
		r.now = r.wake
		if r.step(core.Tick{}); r.program == nil {
			t.Fatal("not tried again")
		}
	}
	r.step(core.Programmed{Again: errBroken})
	if r.step(core.Changed{Object: object("web", pods(1), "10.9.0.2")}); r.program == nil {
		t.Fatal("a change waits for what is tried again")
	}
	r.step(core.Programmed{})
	if len(r.reported.Conditions) != 0 || r.program != nil {
		t.Errorf("conditions %v, program %v when all is well", r.reported.Conditions, r.program)
	}
}

func TestFailedProgramIsTriedAgainLaterEachTime(t *testing.T) {
	r := newRig(t, core.Config{RetryFirst: time.Second, RetryMax: 3 * time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	since := r.program.Since
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		r.step(core.Programmed{Err: errBroken})
		if len(r.reported.Conditions) != 1 || r.state.Ready() {
			t.Fatalf("conditions %v, ready %v after a failure", r.reported.Conditions, r.state.Ready())
		}
		if r.wake != r.now.Add(wait) || r.program != nil {
			t.Fatalf("wakes in %s, want %s and nothing before", r.wake.Sub(r.now), wait)
		}
		r.pass(wait)
		if r.program == nil || r.program.Since != since {
			t.Fatal("not tried again as the change it was")
		}
	}
	r.step(core.Programmed{})
	if len(r.reported.Conditions) != 0 || !r.state.Ready() {
		t.Errorf("conditions %v, ready %v after success", r.reported.Conditions, r.state.Ready())
	}
}

// TestAFailedRunWaitsAlsoWhereAnotherOneIsDue: what could not be done before makes no run come sooner than its errors let it.
func TestAFailedRunWaitsAlsoWhereAnotherOneIsDue(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1))})
	r.step(core.Programmed{Again: errBroken})
	for range 20 {
		if r.program == nil {
			r.pass(50 * time.Millisecond)
		}
	}
	if r.program == nil {
		t.Fatal("what could not be done is not tried again")
	}
	r.step(core.Programmed{Err: errBroken})
	if r.program != nil {
		t.Error("the run that failed is asked for again in the same step")
	}
	r.pass(time.Minute)
	if r.program == nil {
		t.Error("the run that failed is not tried again")
	}
}
