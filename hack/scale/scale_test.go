package main

import (
	"os"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

func needsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: policies are loaded into the kernel")
	}
}

// TestSmallerVersionsFit loads every case, a hundred times smaller, and judges its packets.
func TestSmallerVersionsFit(t *testing.T) {
	needsRoot(t)
	for _, c := range cases(100) {
		t.Run(c.name, func(t *testing.T) {
			r, err := measure(c)
			if err != nil {
				t.Fatal(err)
			}
			if r.closed > 0 || len(r.conditions) > 0 {
				t.Errorf("%d pods are closed: %+v", r.closed, r.conditions)
			}
			if r.packets < 100 {
				t.Errorf("only %d packets were sent", r.packets)
			}
		})
	}
}

// TestWhatDoesNotFitIsClosed: where a table is too small, pods are closed, as many as it takes; a condition names
// each of them, and the table; the others go on. measure fails where a packet of a pod that nobody names is dropped,
// or one of any pod passes that should not.
func TestWhatDoesNotFitIsClosed(t *testing.T) {
	needsRoot(t)
	for _, c := range []struct {
		table      string
		capacity   bpf.Capacity
		of         scaleCase
		least, all int // pods that are closed: at least, and at most
	}{
		{"peer_hosts", bpf.Capacity{Hosts: 2000}, peerCase("sparse", bpf.Capacity{}, 10_000, 2111, v4(1, 0, 0, 0)), 1, 1},
		{"peer_nets", bpf.Capacity{Peers4: 512, Nets: 200}, blockCase("blocks", 2000), 1, 1},
		{"port_edges", bpf.Capacity{PortPages: 64, PortEdges: 64}, ownPortCase("ports", 200), 1, 1},
		{"port_edges", bpf.Capacity{PortLeaves: 16, PortEdges: 64}, portCase("ports", 1000), 1, 1},
		{"sets", bpf.Capacity{Sets: 16}, podCase("pods", 20, 1, true, false), 7, 19},
		{"rows", bpf.Capacity{Rows: 16}, podCase("pods", 20, 1, true, false), 5, 19},
	} {
		t.Run(c.table, func(t *testing.T) {
			c.of.capacity = c.capacity
			r, err := measure(c.of)
			if err != nil {
				t.Fatal(err)
			}
			if r.closed < c.least || r.closed > c.all {
				t.Errorf("%d of %d pods are closed, want %d to %d", r.closed, r.pods, c.least, c.all)
			}
			for _, condition := range r.conditions {
				if !strings.Contains(condition.Message, c.table) {
					t.Errorf("condition %+v does not name %s", condition, c.table)
				}
			}
		})
	}
}
