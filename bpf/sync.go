package bpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// bank is the content of one bank of the tables.
type bank struct {
	peers4, sets, rows, portPages []Page
	portSets                      []PortSet
	portLeaves                    []PortLeaf
	hosts                         map[[16]byte]uint32
	nets                          map[prefix]uint32
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
	if err := img.Fits(n.opts.Capacity); err != nil {
		return s, err
	}
	pods, err := podEntries(img.Pods)
	if err != nil {
		return s, err
	}
	live := n.Epoch() & 1
	if n.banks[live].equal(img) && n.podsEqual(pods, live) {
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
	atomic.AddUint32(&n.control.Epoch, 1)
	s.Switched = true
	n.barrier.restart()
	return s, n.removePods(pods, &s)
}

func (n *Node) writeBank(b uint32, img *Image, s *Stats) error {
	c, have := n.opts.Capacity, &n.banks[b]
	return errors.Join(
		writeTable(n.maps[kernelMapPeers4], b, c.Peers4, &have.peers4, img.Peers4, s),
		writeTable(n.maps[kernelMapSets], b, c.Sets, &have.sets, img.Sets, s),
		writeTable(n.maps[kernelMapRows], b, c.Rows, &have.rows, img.Rows, s),
		writeTable(n.maps[kernelMapPortSets], b, c.PortSets, &have.portSets, img.PortSets, s),
		writeTable(n.maps[kernelMapPortPages], b, c.PortPages, &have.portPages, img.PortPages, s),
		writeTable(n.maps[kernelMapPortLeaves], b, c.PortLeaves, &have.portLeaves, img.PortLeaves, s),
		writeMap(n.maps[kernelMapPeerHosts], have.hosts, img.hosts(),
			func(a [16]byte) kernelHostKey { return kernelHostKey{Bank: b, Addr: a} }, s),
		writeMap(n.maps[kernelMapPeerNets], have.nets, img.nets(), func(p prefix) kernelNetKey {
			return kernelNetKey{PrefixLen: 32 + uint32(p.bits), Bank: b, Addr: p.addr}
		}, s),
	)
}

// writeTable makes bank b of an array hold want; have is what it holds, zero beyond its length. Slots beyond want are
// cleared, so that an index that should not exist opens nothing.
func writeTable[T comparable](m *ebpf.Map, b uint32, size int, have *[]T, want []T, s *Stats) error {
	var keys []uint32
	var values []T
	var zero T
	for i := range max(len(*have), len(want)) {
		old, new := zero, zero
		if i < len(*have) {
			old = (*have)[i]
		}
		if i < len(want) {
			new = want[i]
		}
		if old != new {
			keys, values = append(keys, b*uint32(size)+uint32(i)), append(values, new)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if err := updateAll(m, keys, values); err != nil {
		*have = nil // unknown: what is really there is read before it is written again
		return errors.Join(fmt.Errorf("write %d entries of %v: %w", len(keys), m, err), readTable(m, b, size, have))
	}
	s.TableWrites += len(keys)
	*have = slices.Clone(want)
	return nil
}

// updateAll writes many entries with one system call where the kernel can (5.6).
func updateAll[K, V any](m *ebpf.Map, keys []K, values []V) error {
	_, err := m.BatchUpdate(keys, values, nil)
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	for i := range keys {
		if err := m.Put(keys[i], values[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeMap makes the entries of a bank of a hash or trie equal to want. It deletes first: the bank is not live, and a
// full map then has room.
func writeMap[A comparable, K any](m *ebpf.Map, have, want map[A]uint32, key func(A) K, s *Stats) error {
	for a := range have {
		if _, ok := want[a]; ok {
			continue
		}
		if err := m.Delete(key(a)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete from %v: %w", m, err)
		}
		delete(have, a)
		s.TableWrites++
	}
	for a, class := range want {
		if old, ok := have[a]; ok && old == class {
			continue
		}
		if err := m.Put(key(a), class); err != nil {
			return fmt.Errorf("write to %v: %w", m, err)
		}
		have[a] = class
		s.TableWrites++
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
		e := kernelPod{Instance: p.Instance}
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

// samePod says whether two entries are the same but for their sets.
func samePod(a, b kernelPod) bool {
	a.Bank = b.Bank
	return a == b
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

func (n *Node) putPod(ifindex uint32, p kernelPod) error {
	if err := n.podMap(ifindex).Put(ifindex, p); err != nil {
		return fmt.Errorf("write pod on interface %d: %w", ifindex, err)
	}
	n.pods[ifindex] = p
	return nil
}

// removePods clears the entries of pods that are not wanted any more.
func (n *Node) removePods(want map[uint32]kernelPod, s *Stats) error {
	for _, ifindex := range slices.Sorted(maps.Keys(n.pods)) {
		if _, ok := want[ifindex]; ok {
			continue
		}
		var err error
		if n.podMap(ifindex) == n.maps[kernelMapPods] {
			err = n.podMap(ifindex).Put(ifindex, kernelPod{})
		} else {
			err = n.podMap(ifindex).Delete(ifindex)
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove pod on interface %d: %w", ifindex, err)
		}
		delete(n.pods, ifindex)
		s.PodWrites++
	}
	return nil
}

func (n *Node) podMap(ifindex uint32) *ebpf.Map {
	if ifindex < n.maps[kernelMapPods].MaxEntries() {
		return n.maps[kernelMapPods]
	}
	return n.maps[kernelMapPodsFar]
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

func (b *bank) equal(img *Image) bool {
	return equalTable(b.peers4, img.Peers4) && equalTable(b.sets, img.Sets) && equalTable(b.rows, img.Rows) &&
		equalTable(b.portSets, img.PortSets) && equalTable(b.portPages, img.PortPages) &&
		equalTable(b.portLeaves, img.PortLeaves) &&
		maps.Equal(b.hosts, img.hosts()) && maps.Equal(b.nets, img.nets())
}

// equalTable compares tables whose entries beyond their length are zero.
func equalTable[T comparable](a, b []T) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	var zero T
	return slices.Equal(a, b[:len(a)]) && !slices.ContainsFunc(b[len(a):], func(v T) bool { return v != zero })
}

// ComparePods orders pods as an Image holds them.
func ComparePods(a, b Pod) int { return cmp.Compare(a.Ifindex, b.Ifindex) }
