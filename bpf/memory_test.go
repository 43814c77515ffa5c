package bpf_test

import (
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestMemoryIsThatOfTheKernel: a table takes at least one value, and a larger one takes more.
func TestMemoryIsThatOfTheKernel(t *testing.T) {
	needRoot(t)
	memory := func(c bpf.Capacity) map[string]uint64 {
		t.Helper()
		n, err := bpf.Open(bpf.Options{Capacity: c})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}()
		list, err := n.Memory()
		if err != nil {
			t.Fatal(err)
		}
		bytes := map[string]uint64{}
		for _, m := range list {
			bytes[m.Table] = m.Bytes
		}
		for name, m := range n.Maps() {
			if least := uint64(m.ValueSize()); bytes[name] < least && name != "peer_nets" { // which is empty
				t.Errorf("%s takes %d bytes, and one value takes %d", name, bytes[name], least)
			}
		}
		return bytes
	}
	large := small
	large.Hosts *= 1024
	before, after := memory(small), memory(large)
	if before["peer_hosts"] >= after["peer_hosts"] || before["node"] != after["node"] {
		t.Errorf("memory %v with few hosts and %v with many", before, after)
	}
}
