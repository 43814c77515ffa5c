package bpf

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// tables is the map "tables" in this process's memory: what is stored here is there for the programs at once. The tables of
// policies have a slice per bank.
type tables struct {
	memory                        []byte
	control                       *kernelControl
	peers4, sets, rows, portPages [banks][]Page
	portSets                      [banks][]PortSet
	portLeaves                    [banks][]PortLeaf
	pods                          []kernelPod
}

// place is where a table lies in the map.
type place struct {
	at      int // bytes from the beginning
	entries int // of a bank; a power of two
}

// placement says where all tables lie. It follows from the capacity alone.
type placement struct {
	size                                                               int // bytes
	peers4, sets, rows, portSets, portPages, portLeaves, pods, healing place
}

const (
	controlSize = 64    // CONTROL_SIZE in layout.h
	podArray    = 65536 // POD_ARRAY in layout.h
)

// newPlacement lays the tables out one after the other. Every entry size divides 64 or is a multiple of 16, and every
// table is a multiple of 64 bytes long, so all entries are aligned.
func newPlacement(c Capacity) placement {
	p := placement{size: controlSize}
	add := func(entries, copies int, entrySize uintptr) place {
		at := place{p.size, 1 << bits.Len(uint(entries-1))}
		p.size += (at.entries*copies*int(entrySize) + 63) / 64 * 64
		return at
	}
	p.peers4 = add(c.Peers4, banks, unsafe.Sizeof(Page{}))
	p.sets = add(c.Sets, banks, unsafe.Sizeof(Page{}))
	p.rows = add(c.Rows, banks, unsafe.Sizeof(Page{}))
	p.portSets = add(c.PortSets, banks, unsafe.Sizeof(PortSet{}))
	p.portPages = add(c.PortPages, banks, unsafe.Sizeof(Page{}))
	p.portLeaves = add(c.PortLeaves, banks, unsafe.Sizeof(PortLeaf{}))
	p.pods = add(podArray, 1, unsafe.Sizeof(kernelPod{}))
	p.healing = add(podArray, 1, unsafe.Sizeof(kernelHealing{}))
	return p
}

// configure gives an object file the size and the places of the tables.
func (p placement) configure(spec *ebpf.CollectionSpec) error {
	spec.Maps[kernelMapTables].ValueSize = uint32(p.size)
	for _, t := range []struct {
		at, mask string
		place    place
	}{
		{kernelVarPeers4At, kernelVarPeers4Mask, p.peers4}, {kernelVarSetsAt, kernelVarSetsMask, p.sets},
		{kernelVarRowsAt, kernelVarRowsMask, p.rows}, {kernelVarPortSetsAt, kernelVarPortSetsMask, p.portSets},
		{kernelVarPortPagesAt, kernelVarPortPagesMask, p.portPages},
		{kernelVarPortLeavesAt, kernelVarPortLeavesMask, p.portLeaves},
		{kernelVarPodsAt, kernelVarPodsMask, p.pods}, {kernelVarHealingAt, kernelVarHealingMask, p.healing},
	} {
		if err := spec.Variables[t.at].Set(uint64(t.place.at)); err != nil {
			return err
		}
		if err := spec.Variables[t.mask].Set(uint64(t.place.entries - 1)); err != nil {
			return err
		}
	}
	return nil
}

// openTables maps the kernel's memory.
func openTables(m *ebpf.Map, p placement) (*tables, error) {
	memory, err := unix.Mmap(m.FD(), 0, p.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map tables into memory: %w", err)
	}
	t := &tables{
		memory:     memory,
		control:    &view[kernelControl](memory, 0, 1)[0],
		peers4:     bankViews[Page](memory, p.peers4),
		sets:       bankViews[Page](memory, p.sets),
		rows:       bankViews[Page](memory, p.rows),
		portSets:   bankViews[PortSet](memory, p.portSets),
		portPages:  bankViews[Page](memory, p.portPages),
		portLeaves: bankViews[PortLeaf](memory, p.portLeaves),
		pods:       view[kernelPod](memory, p.pods.at, p.pods.entries),
	}
	return t, nil
}

func (t *tables) Close() error { return unix.Munmap(t.memory) }

// view is n values of T in memory, beginning at a byte.
func view[T any](memory []byte, at, n int) []T {
	var zero T
	_ = memory[at : at+n*int(unsafe.Sizeof(zero))]
	return unsafe.Slice((*T)(unsafe.Pointer(&memory[at])), n)
}

func bankViews[T any](memory []byte, p place) (views [banks][]T) {
	all := view[T](memory, p.at, banks*p.entries)
	for b := range views {
		views[b] = all[b*p.entries:][:p.entries]
	}
	return views
}

// store makes a table hold want, and zeros beyond it, so that an index that should not exist opens nothing. It returns how
// many entries changed.
func store[T comparable](have, want []T) (changed int) {
	var zero T
	for i := range have {
		v := zero
		if i < len(want) {
			v = want[i]
		}
		if have[i] != v {
			have[i] = v
			changed++
		}
	}
	return changed
}

// same says whether a table holds want, and zeros beyond it.
func same[T comparable](have, want []T) bool {
	var zero T
	for i := range have {
		if i < len(want) && have[i] != want[i] || i >= len(want) && have[i] != zero {
			return false
		}
	}
	return true
}

// used returns the length of a table without the zero entries at its end.
func used[T comparable](have []T) int {
	var zero T
	n := len(have)
	for n > 0 && have[n-1] == zero {
		n--
	}
	return n
}

// storePod replaces the entry of an interface. The programs never see one pod's sets with another's addresses: an entry
// of another instance is void from before its first word is changed until after the last one was.
func (t *tables) storePod(ifindex uint32, p kernelPod) {
	e := &t.pods[ifindex]
	if instance := atomic.LoadUint32(&e.Instance); instance == p.Instance {
		for b := range e.Bank {
			for dir := range e.Bank[b].Set {
				atomic.StoreUint32(&e.Bank[b].Set[dir], p.Bank[b].Set[dir])
			}
		}
		if samePod(*e, p) {
			return
		}
	}
	atomic.StoreUint32(&e.Instance, 0)
	instance := p.Instance
	p.Instance = 0
	*e = p
	atomic.StoreUint32(&e.Instance, instance)
}
