package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Version is a program that another version of the datapath left at a pin, or this one before it changed its tables.
type Version struct {
	Program ebpf.ProgramID
	// Shares says that the program decides by the tables that this node writes.
	Shares bool
	pin    string
}

// Versions returns the kernel's id of the node's program of a direction, and those that other versions left at the pins.
func (n *Node) Versions(dir flow.Direction) (current ebpf.ProgramID, others []Version, err error) {
	if current, err = idOf(n.progs[dir].Info()); err != nil || n.opts.Dir == "" {
		return current, nil, err
	}
	shared, err := idOf(n.maps[kernelMapNode].Info())
	if err != nil {
		return 0, nil, err
	}
	entries, err := os.ReadDir(n.opts.Dir)
	if err != nil {
		return 0, nil, fmt.Errorf("list pins: %w", err)
	}
	name := []string{flow.Egress: kernelProgPodEgress, flow.Ingress: kernelProgPodIngress}[dir]
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name+"-") || n.uses(e.Name()) {
			continue
		}
		v, err := pinnedVersion(filepath.Join(n.opts.Dir, e.Name()), shared)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return 0, nil, fmt.Errorf("pin %s: %w", e.Name(), err)
		}
		v.pin = e.Name()
		others = append(others, v)
	}
	return current, others, nil
}

func pinnedVersion(path string, shared ebpf.MapID) (v Version, err error) {
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return v, err
	}
	defer func() { _ = p.Close() }()
	info, err := p.Info()
	if err != nil {
		return v, err
	}
	used, ok := info.MapIDs()
	if !ok {
		return v, errors.New("the kernel tells no maps of a program")
	}
	v.Shares = slices.Contains(used, shared)
	v.Program, err = idOf(info, nil)
	return v, err
}

// sharing returns the programs of other versions that decide by the tables of this one.
func (n *Node) sharing() (list []Version, err error) {
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		_, others, err := n.Versions(dir)
		if err != nil {
			return nil, err
		}
		list = append(list, slices.DeleteFunc(others, func(v Version) bool { return !v.Shares })...)
	}
	return list, nil
}

// ErrMixed says that programs of other versions may still decide by the node's tables, or by some of them.
var ErrMixed = errors.New("programs of other versions share the tables, and are not replaced yet")

// Replace makes sure that the node's are the only programs that decide by its tables. Where another version left some that may differ in
// what else they read, replace must put Program in place of each that is attached, while Replace holds programs, as others must who use
// Program. Until then, Sync refuses to write anything.
func (n *Node) Replace(programs sync.Locker, replace func() error) error {
	if !n.mixed {
		return nil
	}
	programs.Lock()
	defer programs.Unlock()
	for name := range n.maps { // what was to take their place has nobody who writes it any more
		if err := n.dropNext(name); err != nil {
			return fmt.Errorf("replace programs: %w", err)
		}
	}
	if err := n.reload(n.maps, nil); err != nil {
		return fmt.Errorf("replace programs: %w", err)
	}
	if err := replace(); err != nil {
		return fmt.Errorf("replace programs: %w", err)
	}
	return n.replaced()
}

// replaced notes that all programs on our tables are the node's. Some that were replaced may still be running: Sync waits for them. Their pins
// go, and after an error Replace tries again; those of programs that decide by other tables stay, by which they are known as long as they are
// attached.
func (n *Node) replaced() error {
	n.barrier.restart()
	others, err := n.sharing()
	errs := []error{err}
	for _, v := range others {
		errs = append(errs, n.unpin(v.pin))
	}
	err = errors.Join(errs...)
	n.mixed = err != nil
	return err
}
