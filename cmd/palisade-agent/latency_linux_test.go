package main

import (
	"flag"
	"slices"
	"testing"
	"time"
)

var changes = flag.Int("changes", 20, "how many policy changes TestLatency makes")

// TestLatency measures by packets how long after the API server accepted a change the kernel enforces it.
func TestLatency(t *testing.T) {
	b := newTestbed(t)
	opened, closed := ingressTo("web", clientIP.String()), ingressTo("web", "192.0.2.1")
	b.put(marked(t, closed))
	b.start("-log-level", "info")
	b.awaitReady()
	bl := b.blast(5000)
	var opening, closing []time.Duration
	for range *changes {
		b.put(marked(t, opened))
		accepted, before := time.Now(), bl.arrived.Load()
		b.spin("the policy opens", func() bool { return bl.arrived.Load() > before })
		opening = append(opening, time.Since(accepted))

		b.put(marked(t, closed))
		accepted = time.Now()
		closing = append(closing, b.lastArrival(bl).Sub(accepted))
	}
	for name, list := range map[string][]time.Duration{"opening": opening, "closing": closing} {
		slices.Sort(list)
		p50, p99 := list[len(list)/2], list[len(list)*99/100]
		t.Logf("%s: p50 %s, p99 %s, of %d changes", name, p50, p99, len(list))
		if p50 > time.Second {
			t.Errorf("%s takes %s", name, p50)
		}
	}
	t.Log(b.metric("palisade_agent_event_to_kernel_seconds_sum"), b.metric("palisade_agent_event_to_kernel_seconds_count"))
	b.end(bl)
}

// spin is await in short steps.
func (b *testbed) spin(what string, f func() bool) {
	b.Helper()
	pace := time.NewTicker(50 * time.Microsecond)
	defer pace.Stop()
	for deadline := time.Now().Add(patience); !f(); <-pace.C {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// lastArrival waits until nothing has arrived for many packets, and returns when the last one did.
func (b *testbed) lastArrival(bl *blaster) time.Time {
	b.Helper()
	last, count, sent := time.Now(), bl.arrived.Load(), bl.sent.Load()
	b.spin("the policy closes", func() bool {
		if n := bl.arrived.Load(); n != count {
			last, count, sent = time.Now(), n, bl.sent.Load()
		}
		return bl.sent.Load() > sent+200
	})
	return last
}
