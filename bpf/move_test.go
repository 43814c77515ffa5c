package bpf_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// mover is a node with a pod that may open anything and be called by nobody, so that an answer passes only if its flow is
// known.
type mover struct {
	t    testing.TB
	opts bpf.Options
	pod  bpf.Pod
}

func newMover(t testing.TB, flows int) (*mover, *bpf.Harness) {
	m := &mover{t: t, opts: bpf.Options{Dir: pinDir(t), Capacity: small}}
	m.opts.Capacity.Flows = flows
	h := m.open()
	img := image(bpf.PortsAll, 0)
	img.Pods[0].Sets = [2]uint32{flow.Egress: bpf.SetOpen, flow.Ingress: bpf.SetClosed}
	img.Pods[0].IP4, img.Pods[0].IP6 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")
	m.pod = img.Pods[0]
	if _, err := h.Sync(img); err != nil {
		t.Fatal(err)
	}
	return m, h
}

func (m *mover) open() *bpf.Harness {
	m.t.Helper()
	h, err := bpf.OpenHarness(m.opts)
	if err != nil {
		m.t.Fatal(err)
	}
	closeLater(m.t, h)
	return h
}

// tuples are so many flows of each family that the pod opens, TCP and UDP.
func (m *mover) tuples(first, n int) (list []flow.Tuple) {
	for i := first; i < first+n; i++ {
		for _, ends := range [][2]netip.Addr{{m.pod.IP4, netip.MustParseAddr("10.2.0.1")}, {m.pod.IP6, netip.MustParseAddr("fd00:2::1")}} {
			list = append(list, flow.Tuple{
				Src: ends[0], Dst: ends[1], Protocol: []flow.Protocol{flow.TCP, flow.UDP}[i%2], SrcPort: uint16(1024 + i), DstPort: 443,
			})
		}
	}
	return list
}

func (m *mover) run(h *bpf.Harness, dir flow.Direction, packet []byte) bpf.Reason {
	m.t.Helper()
	out, err := h.Run(dir, m.pod.Ifindex, false, packet)
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Reason
}

func (m *mover) opens(h *bpf.Harness, tuples []flow.Tuple) {
	m.t.Helper()
	for _, tuple := range tuples {
		if got := m.run(h, flow.Egress, frame.New(tuple, frame.First)); got != bpf.ReasonNotIsolated {
			m.t.Fatalf("%+v: %s", tuple, got)
		}
	}
}

func (m *mover) knows(h *bpf.Harness, tuples []flow.Tuple, when string) {
	m.t.Helper()
	for _, tuple := range tuples {
		if got := m.run(h, flow.Ingress, frame.New(tuple.Reply(), frame.Later)); got != bpf.ReasonReply {
			m.t.Fatalf("%s: the answer of %+v: %s", when, tuple, got)
		}
	}
}

// TestMovedFlowsAreKnown: to the programs of both versions, whichever of them saw a flow's first packet, while programs are replaced
// and after; and a stray answer is dropped before, meanwhile and after.
func TestMovedFlowsAreKnown(t *testing.T) {
	for name, flows := range map[string][2]int{"more": {2048, 16384}, "fewer": {16384, 4096}} {
		t.Run(name, func(t *testing.T) {
			m, old := newMover(t, flows[0])
			early, meanwhile, late := m.tuples(0, 200), m.tuples(200, 200), m.tuples(400, 200)
			stray := m.tuples(601, 1)[0]
			m.opens(old, early)
			m.opts.Capacity.Flows = flows[1]
			h := m.open()
			replaced := 0
			moved, err := h.MoveFlows(func() error {
				replaced++
				if replaced == 1 { // every second flow is seen first by programs that are not replaced yet
					m.opens(old, meanwhile[:200])
					m.opens(h, meanwhile[200:])
					m.knows(old, early, "old programs meanwhile")
					m.knows(old, meanwhile, "old programs meanwhile")
				} else {
					m.opens(h, late)
					m.knows(h, late, "at the end")
				}
				m.knows(h, early, "new programs")
				m.knows(h, meanwhile, "new programs")
				if got := m.run(h, flow.Ingress, frame.New(stray.Reply(), frame.Later)); got != bpf.ReasonClosed {
					t.Errorf("an answer that nobody asked for: %s", got)
				}
				return nil
			})
			if !moved || err != nil || replaced != 2 || h.Flows() != flows[1] {
				t.Fatalf("moved %t (%v), replaced programs %d times, have %d flows; want true, 2, %d", moved, err, replaced, h.Flows(), flows[1])
			}
		})
	}
}

// TestTheYoungestFlowsFitIntoFewer: where a table gets too small for what it holds, the flows of a pod that were seen the longest ago give
// way, in whatever order they are moved.
func TestTheYoungestFlowsFitIntoFewer(t *testing.T) {
	const room, places, young, all = 1024, 1024 / 16, 1500, 6500
	m, old := newMover(t, 65536)
	late := m.tuples(0, young)
	m.opens(old, late) // in the first ways of their places, and so the first that are moved
	m.opens(old, m.tuples(young, all-young))
	time.Sleep(1100 * time.Millisecond) // answers write down when they were seen, once a second
	m.knows(old, late, "before")
	m.opts.Capacity.Flows = room
	h := m.open()
	if _, err := h.MoveFlows(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, tuple := range late {
		if m.run(h, flow.Ingress, frame.New(tuple.Reply(), frame.Later)) == bpf.ReasonReply {
			known++
		}
	}
	// There are more of them than the table holds of each family, though not in every place; an older one in each would be too many.
	if fewest := 2 * (room - places/2); known < fewest {
		t.Errorf("of the %d youngest flows %d are known, want at least %d", len(late), known, fewest)
	}
}

// TestFewFlowsWithAPeerFitIntoFewer: where a table gets too small for what it holds, those with a peer that has many give way to those with
// one that has few, also if these are older.
func TestFewFlowsWithAPeerFitIntoFewer(t *testing.T) {
	const room, few, many = 1024, 60, 5000
	m, old := newMover(t, 65536)
	kept, others := m.tuples(0, few), m.tuples(0, many)
	for i := range others {
		others[i].Dst = others[i].Dst.Next()
	}
	m.opens(old, kept)
	time.Sleep(20 * time.Millisecond) // the table knows what is older by the kernel's ticks
	m.opens(old, others)
	m.opts.Capacity.Flows = room
	h := m.open()
	if _, err := h.MoveFlows(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	m.knows(h, kept, "moved with many younger ones")
}

// BenchmarkMoveFlows moves 100,000 flows of each family.
func BenchmarkMoveFlows(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m, h := newMover(b, 131072)
		const ports = 50000
		for i := range 2 * ports {
			for _, tuple := range m.tuples(i%ports, 1) {
				tuple.DstPort += uint16(i / ports)
				m.run(h, flow.Egress, frame.New(tuple, frame.First))
			}
		}
		m.opts.Capacity.Flows *= 2
		next := m.open()
		b.StartTimer()
		if _, err := next.MoveFlows(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMoveGoesOnAfterAnError: wherever it ends, what is attached knows the flows, and so does the next process.
func TestMoveGoesOnAfterAnError(t *testing.T) {
	for _, fails := range []int{1, 2} {
		t.Run([]string{1: "before flows are moved", 2: "after"}[fails], func(t *testing.T) {
			m, old := newMover(t, 2048)
			flows := m.tuples(0, 200)
			m.opens(old, flows)
			m.opts.Capacity.Flows = 8192
			first, calls := m.open(), 0
			broken := errors.New("broken")
			_, err := first.MoveFlows(func() error {
				if calls++; calls == fails {
					return broken
				}
				return nil
			})
			if !errors.Is(err, broken) {
				t.Fatalf("got error %v", err)
			}
			m.knows(first, flows, "after the error")
			more := m.tuples(200, 100)
			m.opens(first, more)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			second := m.open()
			m.knows(second, flows, "in the next process")
			if _, err := second.MoveFlows(func() error { return nil }); err != nil || second.Flows() != 8192 {
				t.Fatalf("again: %v, %d flows", err, second.Flows())
			}
			m.knows(second, flows, "at last")
			m.knows(second, more, "at last")
			if err := second.Replace(new(sync.Mutex), func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if err := second.RemoveStale(); err != nil {
				t.Fatal(err)
			}
			third := m.open()
			m.knows(third, flows, "in the process after that")
			if moved, err := third.MoveFlows(func() error { return broken }); moved || err != nil {
				t.Errorf("moves again: %t, %v", moved, err)
			}
		})
	}
}
