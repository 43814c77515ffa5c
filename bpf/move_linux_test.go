package bpf_test

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSignalsLoseNoFlow: the Go runtime sends signals to its own threads, and kernels before 5.13 forget what came of a test run, by
// which flows are moved, when one arrives.
func TestSignalsLoseNoFlow(t *testing.T) {
	m, old := newMover(t, 2048)
	tuples := m.tuples(0, 400)
	m.opens(old, tuples)
	m.opts.Capacity.Flows = 16384
	h := m.open()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	var signals sync.WaitGroup
	begun := 0
	_, err := h.MoveFlows(func() error {
		if begun++; begun > 1 {
			return nil
		}
		// What comes next is moving. Loading programs, after that, would begin again with each signal.
		signals.Go(func() {
			for range 2000 {
				if err := unix.Tgkill(os.Getpid(), thread, unix.SIGURG); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Microsecond)
			}
		})
		return nil
	})
	signals.Wait()
	if err != nil {
		t.Fatal(err)
	}
	m.knows(h, tuples, "after the signals")
}
