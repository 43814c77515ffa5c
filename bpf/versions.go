package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Versions returns the kernel's ids of the programs of a direction: of this node's, and of those that other versions left at
// the pins.
func (n *Node) Versions(dir flow.Direction) (current ebpf.ProgramID, others []ebpf.ProgramID, err error) {
	if current, err = programID(n.progs[dir]); err != nil || n.opts.Dir == "" {
		return current, nil, err
	}
	entries, err := os.ReadDir(n.opts.Dir)
	if err != nil {
		return 0, nil, fmt.Errorf("list pins: %w", err)
	}
	name := []string{flow.Egress: kernelProgPodEgress, flow.Ingress: kernelProgPodIngress}[dir]
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name+"-") || n.pins[e.Name()] {
			continue
		}
		id, err := pinnedID(filepath.Join(n.opts.Dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return 0, nil, fmt.Errorf("pin %s: %w", e.Name(), err)
		}
		others = append(others, id)
	}
	return current, others, nil
}

func pinnedID(path string) (ebpf.ProgramID, error) {
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.Close() }()
	return programID(p)
}

func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("the kernel tells no id of a program")
	}
	return id, nil
}
