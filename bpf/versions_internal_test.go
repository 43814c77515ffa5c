package bpf

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestShapeTellsLayoutsApart, also where sizes are the same, and not what keeps its size.
func TestShapeTellsLayoutsApart(t *testing.T) {
	shape := func(change func(*ebpf.CollectionSpec)) string {
		spec := loadSpec(t)
		change(spec)
		s, err := shapeOf(spec, "")
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	before := shape(func(*ebpf.CollectionSpec) {})
	event := func(s *ebpf.CollectionSpec) *btf.Struct {
		var e *btf.Struct
		if err := s.Types.TypeByName("event", &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, c := range map[string]struct {
		change func(*ebpf.CollectionSpec)
		same   bool
	}{
		"nothing":                 {func(*ebpf.CollectionSpec) {}, true},
		"the room for peers":      {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPeerHosts].MaxEntries *= 2 }, true},
		"the room for flows":      {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapFlows4].MaxEntries *= 2 }, true},
		"a number of entries":     {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPodsFar].MaxEntries++ }, false},
		"the size of a value":     {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPeerNets].ValueSize++ }, false},
		"the name of a member":    {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapNode].Value.(*btf.Struct).Members[0].Name += "x" }, false},
		"the place of a member":   {func(s *ebpf.CollectionSpec) { s.Maps[kernelMapPeerHosts].Key.(*btf.Struct).Members[0].Offset++ }, false},
		"what is told of denials": {func(s *ebpf.CollectionSpec) { event(s).Members[0].Name += "x" }, false},
	} {
		if same := shape(c.change) == before; same != c.same {
			t.Errorf("with %s changed the shape is the same: %t, want %t", name, same, c.same)
		}
	}
}

func pinDir(t *testing.T) string {
	t.Helper()
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
	return dir
}

func openHarness(t *testing.T, o Options) *Harness {
	t.Helper()
	h, err := OpenHarness(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// TestSyncWaitsForProgramsThatWereReplaced: one that still runs reads a table that is not written any more, and must not meet the next epoch.
func TestSyncWaitsForProgramsThatWereReplaced(t *testing.T) {
	h := openHarness(t, Options{Dir: pinDir(t), Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}})
	pod := Pod{Ifindex: 9, Instance: 1, IP4: netip.MustParseAddr("10.1.0.1"), Sets: [2]uint32{SetOpen, SetClosed}}
	if err := h.barrier.wait(); err != nil {
		t.Fatal(err)
	}
	if err := h.barrier.outer.Close(); err != nil { // whoever waits from now on is told
		t.Fatal(err)
	}
	if err := h.GrowPeers(100, new(stdsync.Mutex), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Sync(&Image{Pods: []Pod{pod}}); err == nil {
		t.Errorf("wrote %+v without waiting", s)
	}
}

// TestVersionsOfAnotherLayoutShareNoTables: what is attached goes on with what was in force, whatever the next version writes, and is not to
// be replaced before that has written.
func TestVersionsOfAnotherLayoutShareNoTables(t *testing.T) {
	dir := pinDir(t)
	open := func(layout string) *Harness {
		return openHarness(t, Options{Dir: dir, Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}, layout: layout})
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

// TestPodsAreKnownToOtherLayouts: a version whose tables are laid out otherwise finds whose interfaces there are, until it has said itself what
// is in force. What has gone before is known to none.
func TestPodsAreKnownToOtherLayouts(t *testing.T) {
	dir := pinDir(t)
	open := func(layout string) *Node {
		n, err := Open(Options{Dir: dir, Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}, layout: layout})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sync := func(n *Node, pods ...Pod) {
		t.Helper()
		if _, err := n.Sync(&Image{Pods: pods}); err != nil {
			t.Fatal(err)
		}
	}
	closed := [2]uint32{SetClosed, SetClosed}
	stays := Pod{Ifindex: 9, Instance: 1, IP4: netip.MustParseAddr("10.1.0.1"), Sets: closed}
	far := Pod{Ifindex: 9 + 1<<14, Instance: 2, IP6: netip.MustParseAddr("fd00::2"), MayRoute: true, Sets: closed}
	goes := Pod{Ifindex: 11, Instance: 3, IP4: netip.MustParseAddr("10.1.0.3"), Sets: closed}
	introduced := Pod{Ifindex: 12, Instance: 4, IP4: netip.MustParseAddr("10.1.0.4")}
	expect := func(n *Node, want ...Pod) {
		t.Helper()
		if got := n.Pods(); !slices.Equal(got, want) {
			t.Errorf("knows %+v, want %+v", got, want)
		}
	}
	unknown := func(p Pod) Pod { p.Sets = [2]uint32{SetUnknown, SetUnknown}; return p }

	old := open("")
	sync(old, stays, goes)
	sync(old, stays, far)
	if err := old.Introduce(introduced); err != nil {
		t.Fatal(err)
	}
	_ = old.Close()
	next := open("another")
	expect(next, unknown(stays), unknown(introduced), unknown(far))
	if err := next.Introduce(stays); err != nil {
		t.Fatal(err)
	}
	_ = next.Close() // before anything is in force
	next = open("another")
	expect(next, unknown(stays), unknown(introduced), unknown(far))
	sync(next, stays)
	expect(next, stays)
	_ = next.Close()
	third := open("a third one")
	expect(third, unknown(stays))
	_ = third.Close()
	third = open("a third one")
	sync(third) // of which nothing differs from empty tables
	expect(third)
	_ = third.Close()
	fourth := open("a fourth one")
	expect(fourth)
	_ = fourth.Close()
	again := open("another") // what is in its own tables counts
	expect(again, stays)
	_ = again.Close()
}

// TestPodThatCannotBeNotedIsTriedAgain: what no other version would find is not in force, and that is said each time.
func TestPodThatCannotBeNotedIsTriedAgain(t *testing.T) {
	dir := pinDir(t)
	full, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 28, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	if err := full.Pin(filepath.Join(dir, knownPin)); err != nil {
		t.Fatal(err)
	}
	h := openHarness(t, Options{Dir: dir, Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}})
	closed := [2]uint32{SetClosed, SetClosed}
	pods := []Pod{{Ifindex: 9, Instance: 1, Sets: closed}, {Ifindex: 10, Instance: 2, Sets: closed}}
	for range 3 {
		if _, err := h.Sync(&Image{Pods: pods}); err == nil || !strings.Contains(err.Error(), "interface 10") || h.Epoch() > 0 {
			t.Errorf("epoch %d, %v: want an error about interface 10, and nothing in force", h.Epoch(), err)
		}
	}
	if _, err := h.Sync(&Image{Pods: pods[:1]}); err != nil || h.Epoch() != 1 {
		t.Errorf("without the pod, epoch %d (%v), want 1", h.Epoch(), err)
	}
}
