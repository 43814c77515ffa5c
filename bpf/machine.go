package bpf

import (
	"fmt"
	"math/bits"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// machine is what sizes and constants of the programs follow from.
type machine struct {
	hz       uint32 // jiffies per second
	cpus     int    // one more than the highest number that a CPU may have
	realtime bool   // PREEMPT_RT: a program may be interrupted by others on its CPU
}

// cpuSize is what one CPU writes, in bytes.
const cpuSize = int(unsafe.Sizeof(kernelCpu{}))

// maxCPUs is how many CPUs fit into a value of 4 MiB, the most that kernel 5.10 takes.
const maxCPUs = 4 << 20 / cpuSize

// entries returns how many entries the CPUs need: a power of two, to which the programs cut the number of a CPU. No two CPUs may share
// one, since what was half written by one would be read by the other.
func (m machine) entries() (int, error) {
	if n := 1 << bits.Len(uint(m.cpus-1)); n <= maxCPUs {
		return n, nil
	}
	return 0, fmt.Errorf("the machine may have %d CPUs, and there is room for %d", m.cpus, maxCPUs)
}

// size makes the map of what CPUs write, as the object file has it, as large as the machine needs it.
func (m machine) size(cpus *ebpf.MapSpec) error {
	n, err := m.entries()
	if err != nil {
		return err
	}
	cpus.ValueSize = uint32(n * cpuSize)
	cpus.Value = &btf.Array{Index: &btf.Int{Name: "__u32", Size: 4}, Type: cpus.Value, Nelems: uint32(n)}
	return nil
}
