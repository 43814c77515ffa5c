package bpf_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

func TestIntroducedPodFollowsTheModeAndItsFlowsAreKnownLater(t *testing.T) {
	h := harness(t, bpf.Standard)
	if err := h.Introduce(bpf.Pod{Ifindex: iface, Instance: 1, MayRoute: true}); err != nil {
		t.Fatal(err)
	}
	expect(t, h, bpf.ReasonNotIsolated)
	closed := image(bpf.PortsNone, 0)
	closed.Pods[0].Sets = [2]uint32{bpf.SetClosed, bpf.SetOpen}
	mustSync(t, h.Node, closed)
	answer := frame.New(flow.Tuple{Src: pod, Dst: peer, Protocol: flow.TCP, SrcPort: 80, DstPort: 4000}, frame.Answer)
	if got, err := h.Run(flow.Egress, iface, false, answer); err != nil || got.Reason != bpf.ReasonReply {
		t.Errorf("answer in a flow from before the first policy: %s (%v), want %s", got.Reason, err, bpf.ReasonReply)
	}
}

func TestIntroduceLeavesAKnownPodAsItIs(t *testing.T) {
	h := harness(t, bpf.Strict)
	mustSync(t, h.Node, image(bpf.PortsAll, 0))
	if err := h.Introduce(bpf.Pod{Ifindex: iface, Instance: 1}); err != nil {
		t.Fatal(err)
	}
	expect(t, h, bpf.ReasonPolicy)
	if err := h.Introduce(bpf.Pod{Ifindex: iface, Instance: 2}); err != nil {
		t.Fatal(err)
	}
	expect(t, h, bpf.ReasonUnknownPod)
}

// TestLearningAnAddressOpensNothing adds and takes an address of a closed pod while another thread sends packets.
func TestLearningAnAddressOpensNothing(t *testing.T) {
	h := harness(t, bpf.Standard)
	one, two := image(bpf.PortsNone, 0), image(bpf.PortsNone, 0)
	two.Pods[0].IP6 = netip.MustParseAddr("fd00:1::1")
	mustSync(t, h.Node, one)
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		for !stop.Load() && !t.Failed() {
			expect(t, h, bpf.ReasonNoRule)
		}
	})
	for i := range rounds(100) {
		if s := mustSync(t, h.Node, []*bpf.Image{two, one}[i%2]); s.PodWrites != 1 {
			t.Fatalf("change %d wrote %d pods, want 1", i, s.PodWrites)
		}
	}
	stop.Store(true)
	done.Wait()
}

func TestPodsReturnsWhatWasSynchronised(t *testing.T) {
	h := harness(t, bpf.Standard)
	img := image(bpf.PortsAll, 2)
	img.Pods[0].MayRoute = true
	mustSync(t, h.Node, img)
	if diff := cmp.Diff(img.Pods, h.Pods(), cmpopts.EquateComparable(img.Pods[0].IP4)); diff != "" {
		t.Errorf("pods (-written +read):\n%s", diff)
	}
}

func TestCountersCountPackets(t *testing.T) {
	h := harness(t, bpf.Standard)
	mustSync(t, h.Node, image(bpf.PortsNone, 0))
	for range 3 {
		expect(t, h, bpf.ReasonNoRule)
	}
	counters, err := h.Counters()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		want := uint64(0)
		if c.Direction == flow.Ingress && c.Reason == bpf.ReasonNoRule {
			want = 3
		}
		if c.Packets != want {
			t.Errorf("%s %s: %d packets, want %d", c.Direction, c.Reason, c.Packets, want)
		}
	}
}

func TestRemoveStaleTakesOtherVersionsOnly(t *testing.T) {
	needRoot(t)
	dir := pinDir(t)
	larger := small
	larger.Peers4 *= 2
	old := open(t, bpf.Options{Dir: dir, Capacity: larger})
	closeLater(t, old)
	n := open(t, bpf.Options{Dir: dir, Capacity: small})
	closeLater(t, n)
	if err := os.Mkdir(filepath.Join(dir, "link-ingress-7"), 0o700); err != nil {
		t.Fatal(err)
	}
	former, err := n.Maps()["events"].Clone() // an earlier version had a map of another name
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, former)
	if err := former.Pin(filepath.Join(dir, "replies-0a1b2c3d")); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	if err := n.RemoveStale(); err != nil {
		t.Fatal(err)
	}
	after := names(t, dir)
	if len(after) >= len(before) || !after["link-ingress-7"] || after["replies-0a1b2c3d"] {
		t.Errorf("%d pins before, %d after, link kept: %v, a map of an earlier version left: %v",
			len(before), len(after), after["link-ingress-7"], after["replies-0a1b2c3d"])
	}
	again := open(t, bpf.Options{Dir: dir, Capacity: small})
	closeLater(t, again)
	if diff := cmp.Diff(after, names(t, dir)); diff != "" {
		t.Errorf("opening the same version made pins, so one in use was removed (-before +after):\n%s", diff)
	}
}

func names(t *testing.T, dir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, e := range entries {
		set[e.Name()] = true
	}
	return set
}
