package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// bank is what one bank of the tables holds that do not lie in memory.
type bank struct {
	hosts map[[16]byte]uint32
	nets  map[prefix]uint32
}

type prefix struct {
	addr [16]byte
	bits uint8
}

// Stats counts what one Sync wrote.
type Stats struct {
	TableWrites int // entries of tables, of the bank that was not live
	PodWrites   int
	Switched    bool // a new epoch was stored
}

// Sync makes the kernel hold img. Packets are judged by the old tables until one 32-bit store, and by the new ones after
// it. Nothing is written where nothing differs. After an error the old tables are still in force, and a later Sync
// starts from what the failed one left.
func (n *Node) Sync(img *Image) (Stats, error) {
	var s Stats
	if n.mixed {
		return s, ErrMixed
	}
	if err := img.Fits(n.opts.Capacity); err != nil {
		return s, err
	}
	pods, err := podEntries(img.Pods)
	if err != nil {
		return s, err
	}
	live := n.Epoch() & 1
	if n.holds(live, img) && n.podsEqual(pods, live) {
		return s, n.removePods(pods, &s)
	}
	next := live ^ 1
	if err := n.barrier.wait(); err != nil {
		return s, err
	}
	if err := n.writeBank(next, img, &s); err != nil {
		return s, err
	}
	if err := n.writePods(pods, next, &s); err != nil {
		return s, err
	}
	atomic.AddUint32(&n.tables.Control.Epoch, 1)
	s.Switched = true
	n.barrier.restart()
	return s, n.removePods(pods, &s)
}

func (n *Node) writeBank(b uint32, img *Image, s *Stats) error {
	p, t := &n.tables.peers.Bank[b], &n.tables.rules.Bank[b]
	x, w := &n.tables.prefixes.Bank[b], &n.tables.ports.Bank[b]
	s.TableWrites += store(p.Pages[:], img.Peers4) + store(x.Prefixes[:], img.Prefixes6) + store(t.Sets[:], img.Sets) + store(t.Rows[:], img.Rows) +
		store(w.PortPages[:], img.PortPages) + store(w.PortLeaves[:], img.PortLeaves) + store(w.PortEdges[:], img.PortEdges)
	x.Otherwise = img.otherwise6()
	return errors.Join(
		writeMap(n.maps[kernelMapPeerHosts], n.banks[b].hosts, img.hosts(), hostKey(b), s),
		writeMap(n.maps[kernelMapPeerNets], n.banks[b].nets, img.nets(), func(p prefix) kernelNetKey {
			return kernelNetKey{PrefixLen: 32 + uint32(p.bits), Space: space(b, p.addr), Addr: p.addr}
		}, s),
	)
}

// holds says whether a bank holds exactly img.
func (n *Node) holds(b uint32, img *Image) bool {
	p, t := &n.tables.peers.Bank[b], &n.tables.rules.Bank[b]
	x, w := &n.tables.prefixes.Bank[b], &n.tables.ports.Bank[b]
	return same(p.Pages[:], img.Peers4) && same(x.Prefixes[:], img.Prefixes6) && x.Otherwise == img.otherwise6() && same(t.Sets[:], img.Sets) && same(t.Rows[:], img.Rows) &&
		same(w.PortPages[:], img.PortPages) && same(w.PortLeaves[:], img.PortLeaves) && same(w.PortEdges[:], img.PortEdges) &&
		maps.Equal(n.banks[b].hosts, img.hosts()) && maps.Equal(n.banks[b].nets, img.nets())
}

func hostKey(bank uint32) func([16]byte) kernelHostKey {
	return func(a [16]byte) kernelHostKey { return kernelHostKey{Space: space(bank, a), Addr: a} }
}

// space is where a bank has the addresses of a family: an address that is IPv4-mapped here is one of IPv4.
func space(bank uint32, addr [16]byte) uint32 {
	if netip.AddrFrom16(addr).Is4In6() {
		return bank | uint32(kernelSpaceSPACE_IP4)
	}
	return bank
}

// writeMap makes the entries of a bank of a hash or trie equal to want. It deletes first: the bank is not live, and a
// full map then has room.
func writeMap[A comparable, K any](m *ebpf.Map, have, want map[A]uint32, key func(A) K, s *Stats) error {
	gone := entries[A, K]{
		many: func(keys []K, _ []uint32) (int, error) { return m.BatchDelete(keys, nil) },
		one: func(key K, _ uint32) error {
			if err := m.Delete(key); !errors.Is(err, ebpf.ErrKeyNotExist) {
				return err
			}
			return nil
		},
		done: func(a A, _ uint32) { delete(have, a); s.TableWrites++ },
	}
	for a, class := range have {
		if _, ok := want[a]; ok {
			continue
		}
		if err := gone.add(a, key(a), class); err != nil {
			return fmt.Errorf("delete from %v: %w", m, err)
		}
	}
	if err := gone.flush(); err != nil {
		return fmt.Errorf("delete from %v: %w", m, err)
	}
	written := entries[A, K]{
		many: func(keys []K, classes []uint32) (int, error) { return m.BatchUpdate(keys, classes, nil) },
		one:  func(key K, class uint32) error { return m.Put(key, class) },
		done: func(a A, class uint32) { have[a] = class; s.TableWrites++ },
	}
	for a, class := range want {
		if old, ok := have[a]; ok && old == class {
			continue
		}
		if err := written.add(a, key(a), class); err != nil {
			return fmt.Errorf("write to %v: %w", m, err)
		}
	}
	if err := written.flush(); err != nil {
		return fmt.Errorf("write to %v: %w", m, err)
	}
	return nil
}

// podEntries returns the kernel's form of the pods. Both banks carry the sets that are wanted; writePods replaces those
// of the live bank by what is in force.
func podEntries(pods []Pod) (map[uint32]kernelPod, error) {
	entries := make(map[uint32]kernelPod, len(pods))
	for _, p := range pods {
		if p.Ifindex == 0 || p.Instance == 0 {
			return nil, fmt.Errorf("pod on interface %d, instance %d: zero means none", p.Ifindex, p.Instance)
		}
		if _, ok := entries[p.Ifindex]; ok {
			return nil, fmt.Errorf("two pods on interface %d", p.Ifindex)
		}
		e := kernelPod{Ifindex: p.Ifindex, Instance: p.Instance}
		for b := range e.Bank {
			e.Bank[b].Set = p.Sets
		}
		if p.IP4.IsValid() {
			ip := p.IP4.As4()
			e.HasIp4, e.Ip4 = 1, binary.NativeEndian.Uint32(ip[:])
		}
		if p.IP6.IsValid() {
			e.HasIp6, e.Ip6 = 1, p.IP6.As16()
		}
		if p.MayRoute {
			e.MayRoute = 1
		}
		entries[p.Ifindex] = e
	}
	return entries, nil
}

// samePod says whether two entries are the same but for their sets and what the programs write.
func samePod(a, b kernelPod) bool {
	a.Bank = b.Bank
	return withoutHealing(a) == withoutHealing(b)
}

// withoutHealing is the part of an entry that user space writes.
func withoutHealing(p kernelPod) kernelPod {
	p.Heals, p.HealUntil = 0, 0
	return p
}

func (n *Node) podsEqual(want map[uint32]kernelPod, live uint32) bool {
	for ifindex, w := range want {
		have, ok := n.pods[ifindex]
		if !ok || !samePod(have, w) || have.Bank[live] != w.Bank[live] {
			return false
		}
	}
	return true
}

// writePods gives each pod its sets of the next bank. A pod that is new keeps to what the mode says of unknown pods until
// the switch, since the live tables say nothing of it; one whose addresses became known keeps its sets.
func (n *Node) writePods(want map[uint32]kernelPod, next uint32, s *Stats) error {
	for _, ifindex := range slices.Sorted(maps.Keys(want)) {
		w, have := want[ifindex], n.pods[ifindex]
		w.Bank[next^1].Set = [2]uint32{SetUnknown, SetUnknown}
		if w.Instance == have.Instance {
			w.Bank[next^1] = have.Bank[next^1]
		}
		if w == have {
			continue
		}
		if err := n.putPod(ifindex, w); err != nil {
			return err
		}
		s.PodWrites++
	}
	return nil
}

// putPod writes an entry. What is noted comes first: a pod of which that failed has no entry, and is tried again.
func (n *Node) putPod(ifindex uint32, p kernelPod) error {
	if !samePod(n.pods[ifindex], p) {
		if err := n.note(ifindex, p); err != nil {
			return err
		}
	}
	if n.isNear(ifindex) {
		n.tables.storePod(ifindex, p)
	} else if err := n.putFar(ifindex, p); err != nil {
		return fmt.Errorf("write pod on interface %d: %w", ifindex, err)
	}
	n.pods[ifindex] = p
	return nil
}

// isNear says whether an interface has its entry in the array, or is to have it there. Where an entry is, it stays.
func (n *Node) isNear(ifindex uint32) bool {
	holder := n.tables.podAt(ifindex).Ifindex
	_, known := n.pods[ifindex]
	return holder == ifindex || holder == 0 && !known && ifindex < nearLimit
}

func (n *Node) putFar(ifindex uint32, p kernelPod) error {
	var old kernelPod
	m := n.maps[kernelMapPodsFar]
	if err := m.Lookup(ifindex, &old); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	keepHealing(&p, old)
	return m.Put(ifindex, p)
}

// removePods clears the entries of pods that are not wanted any more, and what other versions noted of such.
func (n *Node) removePods(want map[uint32]kernelPod, s *Stats) error {
	for _, ifindex := range slices.Sorted(maps.Keys(n.pods)) {
		if _, ok := want[ifindex]; ok {
			continue
		}
		if err := n.forget(ifindex); err != nil {
			return err
		}
		if n.isNear(ifindex) {
			n.tables.storePod(ifindex, kernelPod{})
		} else if err := n.maps[kernelMapPodsFar].Delete(ifindex); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove pod on interface %d: %w", ifindex, err)
		}
		delete(n.pods, ifindex)
		s.PodWrites++
	}
	return n.forgetFormer()
}

func (img *Image) hosts() map[[16]byte]uint32 {
	m := make(map[[16]byte]uint32, len(img.Hosts))
	for _, h := range img.Hosts {
		m[h.Addr] = h.Class
	}
	return m
}

func (img *Image) nets() map[prefix]uint32 {
	m := make(map[prefix]uint32, len(img.Nets))
	for _, net := range img.Nets {
		m[prefix{net.Addr, net.Bits}] = net.Class
	}
	return m
}
