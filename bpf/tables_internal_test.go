package bpf

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestEveryConstantIsPlanted: a mark that stays would be a number that nobody meant.
func TestEveryConstantIsPlanted(t *testing.T) {
	const count = int64(kernelConstantCONSTANT_COUNT)
	mark := func(which int64) asm.Instruction {
		return asm.LoadImm(asm.R1, int64(kernelConstantCONSTANT_MARK)<<32|which, asm.DWord)
	}
	var values [count]uint32
	for i := range values {
		values[i] = uint32(100 + i)
	}
	program := func(marks ...int64) map[string]*ebpf.ProgramSpec {
		p := &ebpf.ProgramSpec{}
		for _, which := range marks {
			p.Instructions = append(p.Instructions, mark(which))
		}
		return map[string]*ebpf.ProgramSpec{"p": p}
	}
	all := make([]int64, count)
	for i := range all {
		all[i] = int64(i)
	}
	whole := program(append(all, 0)...)
	if err := plant(whole, values); err != nil {
		t.Fatal(err)
	}
	for i, ins := range whole["p"].Instructions {
		if want := 100 + int64(i)%count; ins.Constant != want {
			t.Errorf("instruction %d loads %d, want %d", i, ins.Constant, want)
		}
	}
	for name, p := range map[string]map[string]*ebpf.ProgramSpec{
		"no program has a mark": program(all[1:]...), "no constant has the number": program(append(all, count)...),
	} {
		if err := plant(p, values); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAPodIsNeverVoidWhileItsAddressesChange: in standard mode a void entry opens what a policy has closed.
func TestAPodIsNeverVoidWhileItsAddressesChange(t *testing.T) {
	const ifindex = 9
	tables := &tables{kernelNodeTables: &kernelNodeTables{}}
	one := kernelPod{Ifindex: ifindex, Instance: 1, HasIp4: 1, Ip4: 0x0100010a}
	two := one
	two.HasIp6, two.Ip6[15], two.MayRoute = 1, 1, 1
	tables.storePod(ifindex, one)
	var stop atomic.Bool
	var void int
	var done sync.WaitGroup
	done.Go(func() {
		for !stop.Load() {
			if atomic.LoadUint32(&tables.Pods[ifindex].Ifindex) == 0 {
				void++
			}
		}
	})
	for i := range 200_000 {
		want := []kernelPod{two, one}[i%2]
		if tables.storePod(ifindex, want); tables.Pods[ifindex] != want {
			t.Fatalf("holds %+v, want %+v", tables.Pods[ifindex], want)
		}
	}
	stop.Store(true)
	done.Wait()
	if void > 0 {
		t.Errorf("was seen void %d times", void)
	}
	other := kernelPod{Ifindex: ifindex, Instance: 2}
	if tables.storePod(ifindex, other); tables.Pods[ifindex] != other {
		t.Errorf("another pod's entry is %+v, want %+v", tables.Pods[ifindex], other)
	}
}
