package bpf_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

const iface = 9

var (
	pod  = netip.MustParseAddr("10.1.0.1")
	peer = netip.MustParseAddr("10.1.0.2")
	syn  = frame.New(flow.Tuple{Src: peer, Dst: pod, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}, frame.First)
	// small are tables that are quick to make.
	small = bpf.Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the tables are the kernel's")
	}
}

// image holds one pod whose ingress allows class 1 the given word of ports; 10.1.0.0/16 has that class. shift moves all
// numbers, so that images of different shifts share nothing but their meaning.
func image(ports uint32, shift uint32) *bpf.Image {
	set, class, row := bpf.SetFirst+shift, 1+shift, 1+shift
	img := &bpf.Image{
		Peers4: make([]bpf.AddrPage, bpf.Fanout),
		Hosts:  []bpf.Host{{Addr: bpf.Mapped(netip.MustParseAddr("fd00::1")), Class: class}},
		Nets:   []bpf.Net{{Addr: bpf.Mapped(netip.MustParseAddr("fd00::")), Bits: 16, Class: class}},
		Sets:   make([]bpf.SetRows, set+1),
		Rows:   make([]bpf.Row, row+1),
		Pods:   []bpf.Pod{{Ifindex: iface, Instance: 1, IP4: pod, Sets: [2]uint32{bpf.SetOpen, set}}},
	}
	img.Peers4[10].Slot[1] = uint16(class)
	img.Sets[set].Row[0] = uint16(row)
	img.Rows[row].Ports[class] = ports
	img.PortPages, img.PortLeaves = bpf.PortTables()
	return img
}

func harness(t *testing.T, mode bpf.Mode) *bpf.Harness {
	t.Helper()
	needRoot(t)
	h, err := bpf.NewHarness(small, mode)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, h)
	return h
}

// closeLater closes c at the end of the test.
func closeLater(t testing.TB, c io.Closer) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func expect(t *testing.T, h *bpf.Harness, want bpf.Reason) {
	t.Helper()
	if got, err := h.Run(flow.Ingress, iface, false, syn); err != nil || got.Reason != want {
		t.Errorf("got %s (%v), want %s", got.Reason, err, want)
	}
}

func mustSync(t *testing.T, n *bpf.Node, img *bpf.Image) bpf.Stats {
	t.Helper()
	s, err := n.Sync(img)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSyncWritesNothingWhereNothingChanged(t *testing.T) {
	h := harness(t, bpf.Standard)
	if s := mustSync(t, h.Node, image(bpf.PortsAll, 0)); !s.Switched || s.TableWrites == 0 || s.PodWrites != 1 {
		t.Errorf("first sync wrote %+v, want tables, one pod and a switch", s)
	}
	if s := mustSync(t, h.Node, image(bpf.PortsAll, 0)); s != (bpf.Stats{}) {
		t.Errorf("second sync of the same image wrote %+v, want nothing", s)
	}
	expect(t, h, bpf.ReasonPolicy)
}

func TestSyncChangesTheVerdict(t *testing.T) {
	h := harness(t, bpf.Standard)
	for i, want := range []bpf.Reason{bpf.ReasonPolicy, bpf.ReasonNoRule, bpf.ReasonPolicy, bpf.ReasonNoRule} {
		ports := map[bpf.Reason]uint32{bpf.ReasonPolicy: bpf.PortsAll, bpf.ReasonNoRule: bpf.PortsNone}[want]
		mustSync(t, h.Node, image(ports, uint32(i*7%3)))
		expect(t, h, want)
	}
}

func TestUnknownPodFollowsTheMode(t *testing.T) {
	expect(t, harness(t, bpf.Standard), bpf.ReasonUnknownPodOpen)
	strict := harness(t, bpf.Strict)
	expect(t, strict, bpf.ReasonUnknownPod)
	mustSync(t, strict.Node, image(bpf.PortsAll, 0))
	expect(t, strict, bpf.ReasonPolicy)
	mustSync(t, strict.Node, &bpf.Image{})
	expect(t, strict, bpf.ReasonUnknownPod)
}

func TestTooLargeImageChangesNothing(t *testing.T) {
	h := harness(t, bpf.Standard)
	mustSync(t, h.Node, image(bpf.PortsNone, 0))
	big := image(bpf.PortsAll, 0)
	for i := range byte(200) {
		big.Hosts = append(big.Hosts, bpf.Host{Addr: [16]byte{0xfd, 15: i}, Class: 1})
	}
	if s, err := h.Sync(big); !errors.Is(err, bpf.ErrTooLarge) || s != (bpf.Stats{}) {
		t.Errorf("wrote %+v, error %v; want nothing and ErrTooLarge", s, err)
	}
	expect(t, h, bpf.ReasonNoRule)
}

// TestSwitchIsAtomic swaps images with no number in common as fast as it can while another thread sends packets.
// All deny them, and all name the same reason; any mixture would be another one.
func TestSwitchIsAtomic(t *testing.T) {
	h := harness(t, bpf.Standard)
	images := denying()
	mustSync(t, h.Node, images[0])
	var stop atomic.Bool
	var sent int
	var done sync.WaitGroup
	done.Go(func() {
		for ; !stop.Load(); sent++ {
			if out, err := h.Run(flow.Ingress, iface, false, syn); err != nil || out.Reason != bpf.ReasonNoRule {
				t.Errorf("packet %d: %s (%v) with set %d, class %d", sent, out.Reason, err, out.Set, out.Class)
				return
			}
		}
	})
	for i := range rounds(200) {
		mustSync(t, h.Node, images[(i+1)%len(images)])
	}
	stop.Store(true)
	done.Wait()
	t.Logf("%d packets", sent)
}

// TestNothingLeaksWhilePoliciesSwap swaps images that all deny every packet a hundred times a second while ten
// million packets, first and later ones of flows, are sent as fast as the kernel can.
func TestNothingLeaksWhilePoliciesSwap(t *testing.T) {
	h := harness(t, bpf.Standard)
	images := denying()
	mustSync(t, h.Node, images[0])
	later := frame.New(flow.Tuple{Src: peer, Dst: pod, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}, frame.Later)
	const batch = 10_000
	var sent, swaps atomic.Int64
	var sending sync.WaitGroup
	packets, times := int64(rounds(10_000_000)), int64(rounds(200))
	sending.Go(func() {
		for i := 0; sent.Load() < packets || swaps.Load() < times; i++ {
			if _, err := h.Repeat(flow.Ingress, iface, false, [][]byte{syn, later}[i%2], batch); err != nil {
				t.Error(err)
				return
			}
			sent.Add(batch)
		}
	})
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for sent.Load() < packets || swaps.Load() < times {
		<-ticker.C
		mustSync(t, h.Node, images[swaps.Add(1)%int64(len(images))])
		if t.Failed() {
			return
		}
	}
	sending.Wait()
	counters, err := h.Counters()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		denied := c.Direction == flow.Ingress && c.Reason == bpf.ReasonNoRule
		// A batch that a signal interrupts is sent again from its beginning.
		if denied && c.Packets < uint64(sent.Load()) || !denied && c.Packets != 0 {
			t.Errorf("%s %s: %d of %d packets", c.Direction, c.Reason, c.Packets, sent.Load())
		}
	}
	t.Logf("%d packets over %d swaps", sent.Load(), swaps.Load())
}

// rounds is how often to try what must never happen: less often where everything takes long.
func rounds(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

// denying are images that deny every packet, with no number in common, each of which allows everything to whoever follows a number of
// another one into it. They are three, as two would each find the bank that it is written to as it left that.
func denying() []*bpf.Image {
	images := []*bpf.Image{image(bpf.PortsNone, 0), image(bpf.PortsNone, 20), image(bpf.PortsNone, 40)}
	for _, img := range images {
		for _, other := range images {
			if img != other {
				trap(img, other)
			}
		}
	}
	return images
}

// trap makes img allow everything to whoever follows a set number of the other image into it.
func trap(img, other *bpf.Image) {
	const open = 500
	for len(img.Rows) <= open {
		img.Rows = append(img.Rows, bpf.Row{})
	}
	for i := range img.Rows[open].Ports {
		img.Rows[open].Ports[i] = bpf.PortsAll
	}
	set := other.Pods[0].Sets[flow.Ingress]
	for uint32(len(img.Sets)) <= set {
		img.Sets = append(img.Sets, bpf.SetRows{})
	}
	img.Sets[set].Row[0] = open
}

// TestReopenGoesOn: a second process finds tables and programs at the pins, and writes nothing where nothing changed.
func TestReopenGoesOn(t *testing.T) {
	opts := bpf.Options{Dir: pinDir(t), Capacity: small}
	first := open(t, opts)
	mustSync(t, first, image(bpf.PortsAll, 0))
	epoch, ids := first.Epoch(), programIDs(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, opts)
	if s := mustSync(t, second, image(bpf.PortsAll, 0)); s != (bpf.Stats{}) || second.Epoch() != epoch {
		t.Errorf("after reopening wrote %+v and went from epoch %d to %d; want nothing", s, epoch, second.Epoch())
	}
	if got := programIDs(t, second); got != ids {
		t.Errorf("programs %v were replaced by %v", ids, got)
	}
	if s := mustSync(t, second, image(bpf.PortsNone, 0)); !s.Switched {
		t.Errorf("a change after reopening was not written: %+v", s)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherOptionsUseTheSameTables: what packets have taught, and what is in force, must be known to both directions' programs
// while they are replaced one after the other; and they are not replaced where nothing that they know is another.
func TestOtherOptionsUseTheSameTables(t *testing.T) {
	for name, change := range map[string]func(*bpf.Options) (others bool){
		"fewer flows":            func(o *bpf.Options) bool { o.Capacity.Flows /= 2; return false },
		"more flows":             func(o *bpf.Options) bool { o.Capacity.Flows *= 2; return false },
		"fewer peers":            func(o *bpf.Options) bool { o.Capacity.Hosts /= 2; return false },
		"more peers":             func(o *bpf.Options) bool { o.Capacity.Hosts *= 2; return false },
		"flows of isolated pods": func(o *bpf.Options) bool { o.TrackIsolatedOnly = true; return true },
		"final verdicts":         func(o *bpf.Options) bool { o.FinalVerdict = true; return true },
	} {
		t.Run(name, func(t *testing.T) {
			opts := bpf.Options{Dir: pinDir(t), Capacity: small}
			first := open(t, opts)
			closeLater(t, first)
			others := change(&opts)
			second := open(t, opts)
			closeLater(t, second)
			before, after := programIDs(t, first), programIDs(t, second)
			for dir := range before {
				if others == (before[dir] == after[dir]) {
					t.Errorf("the %s program is %d, after %d; want another: %t", flow.Direction(dir), after[dir], before[dir], others)
				}
			}
			for m := range first.Maps() {
				if got, want := mapID(t, second, m), mapID(t, first, m); got != want {
					t.Errorf("%s is map %d, want %d, the one that was there", m, got, want)
				}
			}
			if second.Flows() != small.Flows {
				t.Errorf("says %d flows, want %d", second.Flows(), small.Flows)
			}
		})
	}
}

func mapID(t *testing.T, n *bpf.Node, name string) ebpf.MapID {
	t.Helper()
	info, err := n.Maps()[name].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("the kernel tells no ids of maps")
	}
	return id
}

// pinDir returns a directory on a BPF file system of the test's own.
func pinDir(t testing.TB) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "node")
}

func open(t *testing.T, o bpf.Options) *bpf.Node {
	t.Helper()
	n, err := bpf.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func programIDs(t *testing.T, n *bpf.Node) (ids [2]uint32) {
	t.Helper()
	for i := range ids {
		info, err := n.Program(flow.Direction(i)).Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		ids[i] = uint32(id)
	}
	return ids
}

func BenchmarkKernelPacket(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	h, err := bpf.NewHarness(bpf.Capacity{}, bpf.Standard)
	if err != nil {
		b.Fatal(err)
	}
	closeLater(b, h)
	if _, err := h.Sync(image(bpf.PortsAll, 0)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Run(flow.Ingress, iface, false, syn); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}
