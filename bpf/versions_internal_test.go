package bpf

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	stdsync "sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/sim/frame"
)

func loadSpec(t *testing.T) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := loadKernel()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestShapesTellLayoutsApart: a table of another layout makes all of them others, also where its size is the same.
func TestShapesTellLayoutsApart(t *testing.T) {
	shapes := func(spec *ebpf.CollectionSpec) map[string][]byte {
		s, err := shapesOf(spec, "")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := func(a, b map[string][]byte) (names []string) {
		for _, name := range slices.Sorted(maps.Keys(a)) {
			if string(a[name]) == string(b[name]) {
				names = append(names, name)
			}
		}
		return names
	}
	spec := loadSpec(t)
	before := shapes(spec)
	if got := same(before, shapes(loadSpec(t))); !slices.Equal(got, mapNames(spec)) {
		t.Errorf("loaded again, the shapes of %q are the same, want all", got)
	}
	for _, name := range []string{kernelMapPeerHosts, kernelMapFlows4} {
		spec.Maps[name].MaxEntries *= 2
	}
	if got := same(before, shapes(spec)); !slices.Equal(got, mapNames(spec)) {
		t.Errorf("with tables of another size the shapes of %q are the same, want all", got)
	}
	alone := []string{kernelMapEvents, kernelMapScratch}
	for name, change := range map[string]func(*ebpf.CollectionSpec){
		"a number of entries":   func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPodsFar].MaxEntries++ },
		"the size of a value":   func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPeerNets].ValueSize++ },
		"the name of a member":  func(s *ebpf.CollectionSpec) { s.Maps[kernelMapNode].Value.(*btf.Struct).Members[0].Name += "x" },
		"the place of a member": func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPeerHosts].Key.(*btf.Struct).Members[0].Offset++ },
	} {
		spec := loadSpec(t)
		change(spec)
		if got := same(before, shapes(spec)); !slices.Equal(got, alone) {
			t.Errorf("with %s changed the shapes of %q are the same, want those of %q", name, got, alone)
		}
	}
}

// TestVersionsOfAnotherLayoutShareNoTables: what is attached goes on with what was in force, whatever the next version writes, and is not to
// be replaced before that has written.
func TestVersionsOfAnotherLayoutShareNoTables(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the tables are the kernel's")
	}
	fs, err := pinfs.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	dir, err := fs.Mkdir("node")
	if err != nil {
		t.Fatal(err)
	}
	open := func(layout string) *Harness {
		h, err := OpenHarness(Options{Dir: dir, Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}, layout: layout})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		return h
	}
	const ifindex = 9
	pod := Pod{Ifindex: ifindex, Instance: 1, IP4: netip.MustParseAddr("10.1.0.1")}
	syn := frame.New(flow.Tuple{Src: netip.MustParseAddr("10.1.0.2"), Dst: pod.IP4, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}, frame.First)
	sync := func(h *Harness, set uint32) {
		pod.Sets = [2]uint32{SetOpen, set}
		if _, err := h.Sync(&Image{Pods: []Pod{pod}}); err != nil {
			t.Fatal(err)
		}
	}
	decides := func(h *Harness, want Reason) {
		t.Helper()
		if got, err := h.Run(flow.Ingress, ifindex, false, syn); err != nil || got.Reason != want {
			t.Errorf("%s (%v), want %s", got.Reason, err, want)
		}
	}
	old := open("")
	sync(old, SetOpen)
	sync(old, SetClosed)
	next := open("another")
	if next.mixed {
		t.Error("the next version would replace what decides by other tables than it writes")
	}
	for _, set := range []uint32{SetOpen, SetOpen, SetClosed, SetOpen} {
		sync(next, set)
		decides(old, ReasonClosed)
	}
	decides(next, ReasonNotIsolated)
	if _, others, err := next.Versions(flow.Ingress); err != nil || len(others) != 1 || others[0].Shares {
		t.Errorf("other versions: %+v (%v), want one that shares nothing", others, err)
	}
	// Tables that change keep what the other version is known by.
	none := func() error { return nil }
	if err := next.GrowPeers(100, new(stdsync.Mutex), none); err != nil {
		t.Fatal(err)
	}
	next.opts.Capacity.Flows *= 4
	if moved, err := next.MoveFlows(none); err != nil || !moved {
		t.Fatalf("moved %t (%v)", moved, err)
	}
	sync(next, SetClosed)
	decides(next, ReasonClosed)
	decides(old, ReasonClosed)
	if _, others, err := next.Versions(flow.Ingress); err != nil || len(others) != 1 || others[0].Shares {
		t.Errorf("other versions after tables changed: %+v (%v), want the one that shares nothing", others, err)
	}
	if _, others, err := open("").Versions(flow.Ingress); err != nil || len(others) != 1 || others[0].Shares {
		t.Errorf("after a downgrade: %+v (%v), want one that shares nothing", others, err)
	}
}
