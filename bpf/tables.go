package bpf

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// tables is the map "tables" in this process's memory: what is stored here is there for the programs at once.
type tables struct {
	memory []byte
	*kernelNodeTables
	*kernelRuleTables
	Peers4 [banks]*[len(kernelPeerTables{}.Peers4)]kernelPage
}

// podsSize is how many interfaces have their entry in the array.
const podsSize = len(kernelNodeTables{}.Pods)

// openTables maps the kernel's memory, where the values of the map follow one another.
func openTables(m *ebpf.Map) (*tables, error) {
	memory, err := unix.Mmap(m.FD(), 0, int(m.ValueSize()*m.MaxEntries()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map tables into memory: %w", err)
	}
	part := func(n kernelPart) unsafe.Pointer { return unsafe.Pointer(&memory[int(n)*int(m.ValueSize())]) }
	t := &tables{memory, (*kernelNodeTables)(part(kernelPartPART_NODE)), (*kernelRuleTables)(part(kernelPartPART_RULES)),
		[banks]*[len(kernelPeerTables{}.Peers4)]kernelPage{}}
	for b := range t.Peers4 {
		t.Peers4[b] = &(*kernelPeerTables)(part(kernelPartPART_PEERS + kernelPart(b))).Peers4
	}
	return t, nil
}

func (t *tables) Close() error { return unix.Munmap(t.memory) }

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
	e := &t.Pods[ifindex]
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
