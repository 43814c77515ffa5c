package agent

import (
	"testing"
	"time"

	"k8s.io/utils/clock"
)

func TestAnAPIServerThatBreaksOffIsAskedAgainSoon(t *testing.T) {
	next := backoff().DelayWithReset(clock.RealClock{}, time.Hour)
	if first := next(); first > 150*time.Millisecond {
		t.Errorf("after one cut the agent waits %s, want at most 150 ms", first)
	}
	for i := range 100 {
		if wait := next(); wait > 1500*time.Millisecond {
			t.Errorf("after %d cuts the agent waits %s, want at most 1.5 s", i+2, wait)
		}
	}
}
