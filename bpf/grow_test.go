package bpf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// grower is a node with one pod whose ingress allows single addresses that only the hash knows.
type grower struct {
	*testing.T
	opts  bpf.Options
	shift uint32
}

var pod6 = netip.MustParseAddr("fd00:1::1")

func newGrower(t *testing.T) *grower {
	needRoot(t)
	return &grower{T: t, opts: bpf.Options{Dir: pinDir(t), Capacity: small}}
}

func (g *grower) open() *bpf.Harness {
	g.Helper()
	h, err := bpf.OpenHarness(g.opts)
	if err != nil {
		g.Fatal(err)
	}
	closeLater(g.T, h)
	return h
}

// peer is one that may call if its number is among those of an image.
func (g *grower) peer(i int) netip.Addr {
	a := netip.MustParseAddr("fd00:2::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

// image allows the peers from first to last-1. Each call gives everything another number, so that tables of two images never mean
// anything together.
func (g *grower) image(first, last int) *bpf.Image {
	g.shift = (g.shift + 1) % 50
	img := image(bpf.PortsAll, g.shift)
	img.Pods[0].IP6 = pod6
	img.Hosts, img.Nets = nil, nil
	for i := first; i < last; i++ {
		img.Hosts = append(img.Hosts, bpf.Host{Addr: bpf.Mapped(g.peer(i)), Class: 1 + g.shift})
	}
	return img
}

// allows checks that peers from first to last-1 may call, and no other one below 40.
func (g *grower) allows(h *bpf.Harness, first, last int, when string) {
	g.Helper()
	for i := range 40 {
		want := bpf.ReasonNoRule
		if first <= i && i < last {
			want = bpf.ReasonPolicy
		}
		syn := frame.New(flow.Tuple{Src: g.peer(i), Dst: pod6, Protocol: flow.TCP, SrcPort: uint16(4000 + i), DstPort: 80}, frame.First)
		if got, err := h.Run(flow.Ingress, iface, false, syn); err != nil || got.Reason != want {
			g.Errorf("%s: peer %d: %s (%v), want %s", when, i, got.Reason, err, want)
		}
	}
}

func hosts(t *testing.T, h *bpf.Harness) bpf.Usage {
	t.Helper()
	for _, u := range h.Usage() {
		if u.Table == "peer_hosts" {
			return u
		}
	}
	t.Fatal("no table peer_hosts")
	return bpf.Usage{}
}

// TestPeersGrowWhileProgramsAreReplaced: programs of before and after decide alike until the last one is replaced, and what is
// synchronised then has room.
func TestPeersGrowWhileProgramsAreReplaced(t *testing.T) {
	g := newGrower(t)
	old := g.open()
	mustSync(t, old.Node, g.image(8, 12))
	mustSync(t, old.Node, g.image(0, 8))
	h := g.open()
	calls := 0
	replace := func() error {
		calls++
		g.allows(old, 0, 8, "old program meanwhile")
		g.allows(h, 0, 8, "new program meanwhile")
		if programIDs(t, h.Node) == programIDs(t, old.Node) {
			t.Error("the programs are those of before")
		}
		return nil
	}
	if err := h.GrowPeers(8, new(sync.Mutex), replace); err != nil || calls != 0 {
		t.Fatalf("grew for as many as there was room for: %v, %d calls", err, calls)
	}
	if err := h.GrowPeers(30, new(sync.Mutex), replace); err != nil || calls != 1 {
		t.Fatalf("got %v after %d calls, want none after 1", err, calls)
	}
	if u := hosts(t, h); u.Entries != 8 || u.Capacity != 32 {
		t.Errorf("holds %d of %d, want 8 of 32", u.Entries, u.Capacity)
	}
	mustSync(t, h.Node, g.image(3, 33))
	g.allows(h, 3, 33, "after the next switch")
	mustSync(t, h.Node, g.image(4, 34))
	g.allows(h, 4, 34, "after the one after that")
	again := g.open()
	if u := hosts(t, again); u.Entries != 30 || u.Capacity != 32 {
		t.Errorf("the next process finds %d of %d, want 30 of 32", u.Entries, u.Capacity)
	}
	if programIDs(t, again.Node) != programIDs(t, h.Node) {
		t.Error("the next process has other programs")
	}
	g.allows(again, 4, 34, "in the next process")
	if s := mustSync(t, again.Node, g.image(0, 1)); !s.Switched {
		t.Errorf("the next process wrote %+v", s)
	}
}

// TestPeersGrowAfterAnError: nothing is written before all programs read the table that is written, in whichever process that is.
func TestPeersGrowAfterAnError(t *testing.T) {
	broken := errors.New("broken")
	fail, pass := func() error { return broken }, func() error { return nil }
	for name, goesOn := range map[string]func(*grower, *bpf.Harness) *bpf.Harness{
		"grows": func(g *grower, h *bpf.Harness) *bpf.Harness {
			if err := h.GrowPeers(30, new(sync.Mutex), pass); err != nil {
				g.Fatal(err)
			}
			return h
		},
		"grows in another process": func(g *grower, _ *bpf.Harness) *bpf.Harness {
			h := g.open()
			if err := h.GrowPeers(30, new(sync.Mutex), pass); err != nil {
				g.Fatal(err)
			}
			return h
		},
		"stays as it was": func(g *grower, h *bpf.Harness) *bpf.Harness {
			if err := h.Replace(new(sync.Mutex), pass); err != nil {
				g.Fatal(err)
			}
			return h
		},
		"stays as it was in another process": func(g *grower, _ *bpf.Harness) *bpf.Harness {
			h := g.open()
			if _, err := h.Sync(g.image(0, 1)); !errors.Is(err, bpf.ErrMixed) {
				g.Errorf("the next process wrote before it had replaced programs: %v", err)
			}
			if err := h.Replace(new(sync.Mutex), fail); !errors.Is(err, broken) {
				g.Errorf("got %v", err)
			}
			if err := h.Replace(new(sync.Mutex), pass); err != nil {
				g.Fatal(err)
			}
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrower(t)
			h := g.open()
			mustSync(t, h.Node, g.image(8, 12))
			mustSync(t, h.Node, g.image(0, 8))
			if err := h.GrowPeers(30, new(sync.Mutex), fail); !errors.Is(err, broken) {
				t.Fatalf("got %v", err)
			}
			g.allows(h, 0, 8, "after the error")
			if err := h.RemoveStale(); !errors.Is(err, bpf.ErrMixed) {
				t.Errorf("removed the pins of programs that are attached: %v", err)
			}
			if _, err := h.Sync(g.image(0, 1)); !errors.Is(err, bpf.ErrMixed) {
				t.Errorf("wrote while programs read two tables: %v", err)
			}
			g.allows(h, 0, 8, "after nothing was written")
			h = goesOn(g, h)
			g.allows(h, 0, 8, "at last")
			for _, last := range []int{8, 7} {
				mustSync(t, h.Node, g.image(1, last))
				g.allows(h, 1, last, "after a switch")
			}
			pins, err := os.ReadDir(g.opts.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.RemoveStale(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(g.opts.Dir); err != nil || len(left) != len(pins) {
				t.Errorf("pins %v (%v) after those of others were removed, before %v: what was tried stayed", left, err, pins)
			}
			next := g.open()
			g.allows(next, 1, 7, "in the next process")
			mustSync(t, next.Node, g.image(2, 6))
			g.allows(next, 2, 6, "in the next process")
		})
	}
}

// TestPeersGrowBesideOthers: who looks for programs, holding what GrowPeers holds, and who asks for the memory, need not wait for its end.
// What it cannot show without -race ends the process: a map that is read and written at the same time.
func TestPeersGrowBesideOthers(t *testing.T) {
	g := newGrower(t)
	h := g.open()
	mustSync(t, h.Node, g.image(0, 8))
	var programs sync.Mutex
	var stop atomic.Bool
	var done sync.WaitGroup
	beside := func(f func() error) {
		done.Go(func() {
			for !stop.Load() && !t.Failed() {
				if err := f(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	beside(func() error {
		programs.Lock()
		defer programs.Unlock()
		_, _, err := h.Versions(flow.Ingress)
		return err
	})
	beside(func() error { _, err := h.Memory(); return err })
	for peers := 16; peers <= 1024; peers *= 2 {
		if err := h.GrowPeers(peers, &programs, func() error { return nil }); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	done.Wait()
	g.allows(h, 0, 8, "at last")
}

func TestPeersGrowToALimit(t *testing.T) {
	needRoot(t)
	h := harness(t, bpf.Standard)
	if err := h.GrowPeers(bpf.MostPeers/2+1, new(sync.Mutex), nil); !errors.Is(err, bpf.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, bpf.ErrTooLarge)
	}
}

// pinned are what the pins are of, sorted, and how many tables of single addresses these and the programs among them hold.
func (g *grower) pinned() (names []string, tables int) {
	g.Helper()
	entries, err := os.ReadDir(g.opts.Dir)
	if err != nil {
		g.Fatal(err)
	}
	ids := map[ebpf.MapID]bool{}
	add := func(m *ebpf.Map, err error) {
		g.Helper()
		if err != nil {
			g.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		info, err := m.Info()
		if err != nil {
			g.Fatal(err)
		}
		if id, _ := info.ID(); info.Name == "peer_hosts" {
			ids[id] = true
		}
	}
	for _, e := range entries {
		path := filepath.Join(g.opts.Dir, e.Name())
		names = append(names, e.Name()[:strings.LastIndexByte(e.Name(), '-')])
		if !strings.HasPrefix(e.Name(), "pod_") {
			add(ebpf.LoadPinnedMap(path, nil))
			continue
		}
		p, err := ebpf.LoadPinnedProgram(path, nil)
		if err != nil {
			g.Fatal(err)
		}
		defer func() { _ = p.Close() }()
		info, err := p.Info()
		if err != nil {
			g.Fatal(err)
		}
		known, _ := info.MapIDs()
		for _, id := range known {
			add(ebpf.NewMapFromID(id))
		}
	}
	return names, len(ids)
}

// knows checks that whoever looks for programs finds those of others.
func (g *grower) knows(h *bpf.Harness, others []*bpf.Harness) {
	g.Helper()
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		current, versions, err := h.Versions(dir)
		if err != nil {
			g.Fatal(err)
		}
		known := []uint32{uint32(current)}
		for _, v := range versions {
			known = append(known, uint32(v.Program))
		}
		for _, other := range others {
			if id := programIDs(g.T, other.Node)[dir]; !slices.Contains(known, id) {
				g.Errorf("%s program %d is attached, and known are %d", dir, id, known)
			}
		}
	}
}

// TestPeersThatCannotGrowAreCopiedOnce: however often attempts fail, and wherever they end, the pins hold one table beside that which is in
// force. What they have attached is known and decides as before, and nothing is left of them once all programs are replaced.
func TestPeersThatCannotGrowAreCopiedOnce(t *testing.T) {
	broken := errors.New("broken")
	fail, pass := func() error { return broken }, func() error { return nil }
	grow := func(h *bpf.Harness, peers int, replace func() error) error {
		return h.GrowPeers(peers, new(sync.Mutex), replace)
	}
	back := func(h *bpf.Harness, replace func() error) error { return h.Replace(new(sync.Mutex), replace) }
	for name, attempt := range map[string]func(h *bpf.Harness, i int) error{
		"for as many": func(h *bpf.Harness, _ int) error { return errors.Join(grow(h, 30, fail), back(h, fail)) },
		"for more":    func(h *bpf.Harness, i int) error { return errors.Join(grow(h, 30<<i, fail), back(h, fail)) },
		"and go back": func(h *bpf.Harness, _ int) error {
			err := grow(h, 30, fail)
			if unable := back(h, pass); unable != nil {
				return unable
			}
			return err
		},
		"cut short": func(h *bpf.Harness, i int) (err error) {
			defer func() { err = recover().(error) }()
			return grow(h, 30<<i, func() error { panic(broken) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrower(t)
			h := g.open()
			mustSync(t, h.Node, g.image(8, 12))
			mustSync(t, h.Node, g.image(0, 8))
			usual, _ := g.pinned()
			attached := []*bpf.Harness{h}
			for i := range 4 {
				if i < 2 { // in another process
					h = g.open()
					attached = append(attached, h)
				}
				if err := attempt(h, i); !errors.Is(err, broken) {
					t.Fatalf("attempt %d: %v", i, err)
				}
				if pins, tables := g.pinned(); tables > 2 || len(pins) > len(usual)+3 {
					t.Errorf("attempt %d leaves %d tables, held by %q", i, tables, pins)
				}
				g.knows(h, attached)
				for _, a := range attached {
					g.allows(a, 0, 8, fmt.Sprint("after attempt ", i))
				}
			}
			if err := grow(h, 30, pass); err != nil {
				t.Fatal(err)
			}
			if pins, tables := g.pinned(); tables != 1 || !slices.Equal(pins, usual) {
				t.Errorf("at last pins hold %d tables, and are %q; want 1, and %q", tables, pins, usual)
			}
			g.allows(h, 0, 8, "at last")
			mustSync(t, h.Node, g.image(3, 33))
			g.allows(h, 3, 33, "after the next switch")
			g.allows(g.open(), 3, 33, "in the next process")
		})
	}
}

// TestPeersGrowWhereFlowsCouldNotMove: what they were to be moved to goes, since from then on programs do without it.
func TestPeersGrowWhereFlowsCouldNotMove(t *testing.T) {
	broken := errors.New("broken")
	g := newGrower(t)
	old := g.open()
	mustSync(t, old.Node, g.image(0, 8))
	usual, _ := g.pinned()
	g.opts.Capacity.Flows = 4 * small.Flows
	h := g.open()
	if _, err := h.MoveFlows(func() error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if err := h.GrowPeers(30, new(sync.Mutex), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if pins, tables := g.pinned(); tables != 1 || !slices.Equal(pins, usual) {
		t.Errorf("pins hold %d tables, and are %q; want 1, and %q", tables, pins, usual)
	}
	g.allows(h, 0, 8, "at last")
}

// TestMixedUntilPinsAreGone: what could not be cleared away is tried again before anything is written or made.
func TestMixedUntilPinsAreGone(t *testing.T) {
	pass := func() error { return nil }
	g := newGrower(t)
	h := g.open()
	mustSync(t, h.Node, g.image(0, 8))
	usual, _ := g.pinned()
	obstacle := filepath.Join(g.opts.Dir, "pod_ingress-obstacle") // that is no program
	err := h.GrowPeers(30, new(sync.Mutex), func() error {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, m)
		return m.Pin(obstacle)
	})
	if err == nil {
		t.Fatal("pins of programs that were replaced could not be found, and no error")
	}
	if _, err := h.Sync(g.image(0, 7)); !errors.Is(err, bpf.ErrMixed) {
		t.Errorf("wrote although the pins of others are there: %v", err)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := h.Replace(new(sync.Mutex), pass); err != nil {
		t.Fatal(err)
	}
	if pins, tables := g.pinned(); tables != 1 || !slices.Equal(pins, usual) {
		t.Errorf("pins hold %d tables, and are %q; want 1, and %q", tables, pins, usual)
	}
	mustSync(t, h.Node, g.image(3, 33))
	g.allows(h, 3, 33, "at last")
}

// BenchmarkReopen opens a node that holds a million single addresses in each bank, as an agent does that starts again.
func BenchmarkReopen(b *testing.B) {
	needRoot(b)
	opts := bpf.Options{Dir: pinDir(b), Capacity: small}
	n, err := bpf.Open(opts)
	if err != nil {
		b.Fatal(err)
	}
	const peers = 1_000_000
	if err := n.GrowPeers(peers, new(sync.Mutex), func() error { return nil }); err != nil {
		b.Fatal(err)
	}
	for class := range uint32(2) {
		img := image(bpf.PortsAll, class)
		img.Hosts = nil
		for i := range uint32(peers) {
			h := bpf.Host{Class: 1 + class}
			binary.BigEndian.PutUint32(h.Addr[12:], i)
			img.Hosts = append(img.Hosts, h)
		}
		if _, err := n.Sync(img); err != nil {
			b.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n, err := bpf.Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// TestFlowsThatCannotMoveAreKeptOnce: however many agents fail to move them, one after the other, the pins hold as much as after the first.
func TestFlowsThatCannotMoveAreKeptOnce(t *testing.T) {
	broken := errors.New("broken")
	g := newGrower(t)
	mustSync(t, g.open().Node, g.image(0, 8))
	usual, _ := g.pinned()
	g.opts.Capacity.Flows = 4 * small.Flows
	var first []string
	for i := range 4 {
		h := g.open()
		_, err := h.MoveFlows(func() error { return broken })
		if !errors.Is(err, broken) || !errors.Is(h.Replace(new(sync.Mutex), func() error { return broken }), broken) {
			t.Fatalf("agent %d: %v", i, err)
		}
		pins, _ := g.pinned()
		if i == 0 {
			first = pins
		}
		if len(pins) > len(first)+2 { // the programs of the first attempt, and those that are to replace them
			t.Errorf("agent %d leaves the pins %q, the first one %q", i, pins, first)
		}
	}
	h := g.open()
	if _, err := h.MoveFlows(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if pins, _ := g.pinned(); !slices.Equal(pins, usual) {
		t.Errorf("at last the pins are %q, want %q", pins, usual)
	}
	g.allows(h, 0, 8, "at last")
}
