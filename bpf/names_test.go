package bpf_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestNamesAreNotedForTheNextAgent of any version, and forgotten with their pods.
func TestNamesAreNotedForTheNextAgent(t *testing.T) {
	opts := bpf.Options{Dir: pinDir(t), Capacity: small}
	expect := func(n *bpf.Node, want map[uint32]bpf.PodName) {
		t.Helper()
		if got := n.Names(); !maps.Equal(got, want) {
			t.Errorf("names %v, want %v", got, want)
		}
	}
	note := func(n *bpf.Node, names map[uint32]bpf.PodName) {
		t.Helper()
		if err := n.NoteNames(names); err != nil {
			t.Error(err)
		}
		expect(n, names)
	}
	longest := bpf.PodName{Instance: 3, Namespace: strings.Repeat("n", 63), Name: strings.Repeat("p", 253)}
	first := map[uint32]bpf.PodName{7: {Instance: 1, Namespace: "vpn", Name: "gateway"}, 1 << 30: longest}
	n := open(t, opts)
	expect(n, map[uint32]bpf.PodName{})
	note(n, first)
	_ = n.Close()

	n = open(t, opts)
	expect(n, first)
	second := map[uint32]bpf.PodName{7: {Instance: 2, Namespace: "vpn", Name: "gateway"}, 8: {Instance: 4, Namespace: "shop", Name: "web-0"}}
	note(n, second)
	_ = n.Close()

	opts.Capacity.Flows *= 2 // other tables
	n = open(t, opts)
	expect(n, second)
	longest.Name += "-and-more"
	if err := n.NoteNames(map[uint32]bpf.PodName{9: longest, 8: second[8]}); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("%v, want an error about a name that is too long", err)
	}
	expect(n, map[uint32]bpf.PodName{8: second[8]})
}
