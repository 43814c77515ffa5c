package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestStackFits: the frames of every chain of calls, each rounded up to 32 bytes, must fit into 512 bytes
// (MAX_BPF_STACK). The kernel of this machine may round to less, so that only the oldest ones would refuse.
func TestStackFits(t *testing.T) {
	const limit, unit = 512, 32
	spec, err := loadKernel()
	if err != nil {
		t.Fatal(err)
	}
	for name, prog := range spec.Programs {
		frames, calls := frames(prog)
		if len(calls[name]) == 0 {
			t.Fatalf("%s calls nothing: its functions were not found", name)
		}
		var deepest func(function string) (int, string)
		deepest = func(function string) (depth int, chain string) {
			for _, callee := range calls[function] {
				if d, c := deepest(callee); d > depth {
					depth, chain = d, " → "+c
				}
			}
			return depth + max(unit, (frames[function]+unit-1)/unit*unit), function + chain
		}
		depth, chain := deepest(name)
		t.Logf("%d bytes in %s", depth, chain)
		if depth > limit {
			t.Errorf("%s need %d bytes of stack, %d is all there is", chain, depth, limit)
		}
	}
}

// frames returns how much stack each function of a program uses, in bytes, and which functions it calls.
func frames(prog *ebpf.ProgramSpec) (size map[string]int, calls map[string][]string) {
	size, calls = map[string]int{}, map[string][]string{}
	function, pointer := prog.Name, asm.Register(asm.RFP)
	for _, ins := range prog.Instructions {
		if s := ins.Symbol(); s != "" {
			function, pointer = s, asm.RFP
		}
		if ins.IsFunctionCall() {
			calls[function] = append(calls[function], ins.Reference())
		}
		op := ins.OpCode
		switch {
		case op.Class().IsStore() && ins.Dst == asm.RFP, op.Class().IsLoad() && ins.Src == asm.RFP:
			size[function] = max(size[function], -int(ins.Offset))
		case op.ALUOp() == asm.Mov && op.Source() == asm.RegSource && ins.Src == asm.RFP:
			pointer = ins.Dst
		case op.ALUOp() == asm.Add && op.Source() == asm.ImmSource && ins.Dst == pointer && ins.Constant < 0:
			size[function] = max(size[function], -int(ins.Constant))
		}
	}
	return size, calls
}
