package bpf

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// inMemory are the maps whose single value user space maps into its memory, and the programs use without a look-up.
var inMemory = [...]string{kernelMapNode, kernelMapPeers4, kernelMapPrefixes6, kernelMapRules, kernelMapPortBits, kernelMapCpus}

// tables are these maps in this process's memory: what is stored here is there for the programs at once.
type tables struct {
	*kernelNodeTables
	peers    *kernelPeerTables
	prefixes *kernelPrefixTables
	rules    *kernelRuleTables
	ports    *kernelPortTables
	cpus     []kernelCpu
	memory   [][]byte
}

const (
	// podsSize is how many interfaces have their entry in the array, at the place that the lower bits of their index say.
	podsSize = len(kernelNodeTables{}.Pods)
	// nearLimit is the index from which on they have none there.
	nearLimit = 1 << kernelTableSizePODS_BITS
)

// openTables maps the kernel's memory.
func openTables(maps map[string]*ebpf.Map) (*tables, error) {
	t := &tables{}
	for _, name := range inMemory {
		m := maps[name]
		memory, err := unix.Mmap(m.FD(), 0, int(m.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map %s into memory: %w", name, err), t.Close())
		}
		t.memory = append(t.memory, memory)
	}
	t.kernelNodeTables = (*kernelNodeTables)(unsafe.Pointer(unsafe.SliceData(t.memory[0])))
	t.peers = (*kernelPeerTables)(unsafe.Pointer(unsafe.SliceData(t.memory[1])))
	t.prefixes = (*kernelPrefixTables)(unsafe.Pointer(unsafe.SliceData(t.memory[2])))
	t.rules = (*kernelRuleTables)(unsafe.Pointer(unsafe.SliceData(t.memory[3])))
	t.ports = (*kernelPortTables)(unsafe.Pointer(unsafe.SliceData(t.memory[4])))
	cpus := t.memory[5]
	t.cpus = unsafe.Slice((*kernelCpu)(unsafe.Pointer(unsafe.SliceData(cpus))), len(cpus)/cpuSize)
	return t, nil
}

// plantSeed chooses the seed of the hash of flows, once for as long as the tables live.
func (t *tables) plantSeed() error {
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("seed for the table of flows: %w", err)
	}
	atomic.CompareAndSwapUint64(&t.Control.Seed, 0, binary.NativeEndian.Uint64(seed[:])|1)
	return nil
}

// Close unmaps the memory.
func (t *tables) Close() error {
	var errs []error
	for _, m := range t.memory {
		errs = append(errs, unix.Munmap(m))
	}
	return errors.Join(errs...)
}

// keepHealing gives an entry what the programs have written into that of the same pod.
func keepHealing(p *kernelPod, old kernelPod) {
	if p.Instance == old.Instance {
		p.Heals, p.HealUntil = old.Heals, old.HealUntil
	}
}

// locate makes the programs use the values of the maps in memory by their address, where the C takes the address of the map:
// BPF_PSEUDO_MAP_VALUE (5.2) in place of BPF_PSEUDO_MAP_FD. C has no word for it that reserves no room in the object file.
func locate(programs map[string]*ebpf.ProgramSpec) {
	for _, p := range programs {
		for i := range p.Instructions {
			ins := &p.Instructions[i]
			if ins.IsLoadFromMap() && slices.Contains(inMemory[:], ins.Reference()) {
				ins.Src, ins.Constant = asm.PseudoMapValue, 0
			}
		}
	}
}

// plant writes the constants into the programs, where the C has their marks. Each has to be found: what was compiled to something else
// than a mark would stay whatever that is, and a program that takes itself for one of the harness is none that filters.
func plant(programs map[string]*ebpf.ProgramSpec, values [kernelConstantCONSTANT_COUNT]uint32) error {
	var found [kernelConstantCONSTANT_COUNT]bool
	for name, p := range programs {
		for i := range p.Instructions {
			ins := &p.Instructions[i]
			if !ins.IsConstantLoad(asm.DWord) || ins.Reference() != "" || ins.Constant>>32 != int64(kernelConstantCONSTANT_MARK) {
				continue
			}
			which := uint32(ins.Constant)
			if int(which) >= len(values) {
				return fmt.Errorf("program %s: no constant has the number %d", name, which)
			}
			ins.Constant, found[which] = int64(values[which]), true
		}
	}
	if missing := slices.Index(found[:], false); missing >= 0 {
		return fmt.Errorf("no program has a mark of constant %d", missing)
	}
	return nil
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

// used counts the entries that are not zero.
func used[T comparable](have []T) (n int) {
	var zero T
	for i := range have {
		if have[i] != zero {
			n++
		}
	}
	return n
}

// podAt returns the entry that an interface has in the array, unless another one has it.
func (t *tables) podAt(ifindex uint32) *kernelPod { return &t.Pods[ifindex%uint32(podsSize)] }

// storePod replaces an entry of the array, which no other interface has. The programs never see one pod's sets with another's addresses: an entry
// of another instance is void from before its first word is changed until after the last one was. That of the same instance is never
// void, since a void one is that of a pod of which nothing is known; what changes is written in place.
func (t *tables) storePod(ifindex uint32, p kernelPod) {
	used := p.Ifindex // 0 where the entry is cleared
	e := t.podAt(ifindex)
	if atomic.LoadUint32(&e.Ifindex) == p.Ifindex && e.Instance == p.Instance {
		for b := range e.Bank {
			for dir := range e.Bank[b].Set {
				atomic.StoreUint32(&e.Bank[b].Set[dir], p.Bank[b].Set[dir])
			}
		}
		if samePod(*e, p) {
			return
		}
		t.readdress(e, p)
	} else {
		atomic.StoreUint32(&e.Ifindex, 0)
		p.Ifindex = 0
		*e = p
		atomic.StoreUint32(&e.Ifindex, used)
	}
	atomic.AddUint32(&t.Control.Changes, 1)
}

// readdress gives an entry the addresses of p, and says whether it may send from others.
func (t *tables) readdress(e *kernelPod, p kernelPod) {
	if e.HasIp4 != p.HasIp4 || e.Ip4 != p.Ip4 {
		t.setAddr(&e.HasIp4, p.HasIp4, func() { e.Ip4 = p.Ip4 })
	}
	if e.HasIp6 != p.HasIp6 || e.Ip6 != p.Ip6 {
		t.setAddr(&e.HasIp6, p.HasIp6, func() { e.Ip6 = p.Ip6 })
	}
	e.MayRoute = p.MayRoute
}

// setAddr sets an address of a pod, which has none of its family meanwhile: a packet may be dropped then. The additions keep the stores in
// order.
func (t *tables) setAddr(has *uint8, want uint8, set func()) {
	*has = 0
	atomic.AddUint32(&t.Control.Changes, 1)
	set()
	atomic.AddUint32(&t.Control.Changes, 1)
	*has = want
}
