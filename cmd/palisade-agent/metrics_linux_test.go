package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestKernelMemoryIsShown: an agent with its two capabilities tells what its tables take.
func TestKernelMemoryIsShown(t *testing.T) {
	b := newNode(t)
	b.start()
	b.awaitReady()
	shown := map[string]float64{}
	for line := range strings.Lines(b.get("/metrics")) {
		var table string
		var bytes float64
		if n, _ := fmt.Sscanf(line, "palisade_agent_kernel_memory_bytes{table=%q} %g", &table, &bytes); n == 2 {
			shown[table] = bytes
		}
	}
	n, err := bpf.Open(bpf.Options{Dir: fmt.Sprintf("/proc/self/fd/%d/node", b.pins.Fd())})
	b.must(err)
	b.closeLater(n.Close)
	list, err := n.Memory()
	b.must(err)
	if len(list) == 0 || len(list) != len(shown) {
		t.Errorf("%d tables shown, want %d", len(shown), len(list))
	}
	for _, m := range list {
		if shown[m.Table] != float64(m.Bytes) {
			t.Errorf("%s: %g bytes shown, want %d", m.Table, shown[m.Table], m.Bytes)
		}
	}
}

// TestALostAPIServerIsShown, and what it said last stays in force.
func TestALostAPIServerIsShown(t *testing.T) {
	b := newNode(t)
	b.start()
	b.awaitReady()
	b.put(marked(t, ingressTo("web")))
	b.await("isolated", func() bool { return !b.connects("client", serverIP, 80) })
	b.must(b.fake.server.Close())
	b.await("a failure is counted", func() bool { return b.metric(`palisade_agent_errors_total{step="watch-api"}`) != "" })
	b.await("a condition", func() bool { return b.metric("palisade_agent_conditions ") == "palisade_agent_conditions 1" })
	if b.connects("client", serverIP, 80) {
		t.Error("the policy is not in force without an API server")
	}
}
