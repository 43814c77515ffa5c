package bpf

import (
	"strings"
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
