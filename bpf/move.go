package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/cilium/ebpf"
)

// oldFlows are the tables that flows are moved from, by those that they are moved to.
var oldFlows = map[string]string{kernelMapFlows4: kernelMapOld4, kernelMapFlows6: kernelMapOld6}

// isOldFlows says whether a map of the object file is one that programs use only while flows are moved.
func isOldFlows(name string) bool { return name == kernelMapOld4 || name == kernelMapOld6 }

// nextPin is the name of the pin, without its hash, of a table that flows are moved to.
func nextPin(flows string) string { return "next-" + flows }

// MoveFlows gives the tables of flows the size that the options say, where they have another one, and says whether. What
// the tables hold is moved, and no packet misses it meanwhile:
//
//  1. The programs of the node become ones that look into the new table, then into the old one, and write into both;
//     replace must put the node's programs in place of those that are attached. Until the last one is replaced, the others
//     go on with the old table.
//  2. Every flow of the old table is moved.
//  3. The new table takes the old one's pin, and programs that know the new table only are put in place.
//
// After an error, or when the process ends, what is attached is right, and MoveFlows can be called again.
func (n *Node) MoveFlows(replace func() error) (moved bool, err error) {
	next, err := n.nextFlows()
	if err != nil || len(next) == 0 {
		return false, err
	}
	m := &move{node: n, next: next, old: map[string]*ebpf.Map{}}
	for name := range next {
		m.old[name] = n.maps[name]
	}
	if err := m.run(replace); err != nil {
		return false, fmt.Errorf("move flows: %w", err)
	}
	return true, nil
}

// move is a change of the size of tables of flows.
type move struct {
	node      *Node
	next, old map[string]*ebpf.Map // by the name of the table
	mover     *ebpf.Program
}

func (m *move) run(replace func() error) error {
	err := m.during(replace)
	if m.mover != nil {
		err = errors.Join(err, m.mover.Close())
	}
	if err != nil {
		for _, next := range m.next {
			err = errors.Join(err, next.Close())
		}
		return err
	}
	for name, next := range m.next {
		if err := m.node.takePin(name); err != nil {
			return err
		}
		m.node.maps[name] = next
		if err := m.old[name].Close(); err != nil {
			return err
		}
	}
	if err := m.node.reload(nil); err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	return m.node.RemoveStale()
}

// during puts programs in place that know both tables, and moves the flows.
func (m *move) during(replace func() error) error {
	if err := m.node.reload(m); err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	for name, old := range m.old {
		if err := m.flows(old, name == kernelMapFlows6); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// flows moves the flows of a table, one by one.
func (m *move) flows(old *ebpf.Map, v6 bool) error {
	in := skbContext{}
	if v6 {
		in.CB[1] = 1
	}
	run := ebpf.RunOptions{Data: make([]byte, 64), Context: &in} // a frame that nobody reads
	for place := range old.MaxEntries() {
		for way := range uint32(flowWays) {
			in.Mark, in.CB[0] = place, way
			some, err := m.mover.Run(&run)
			if err != nil {
				return fmt.Errorf("move way %d of place %d: %w", way, place, err)
			}
			if some == 0 {
				break
			}
		}
	}
	return nil
}

// nextFlows makes those tables of flows that are to have another size, or opens what an earlier attempt has left.
func (n *Node) nextFlows() (map[string]*ebpf.Map, error) {
	next := map[string]*ebpf.Map{}
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	n.size(spec)
	for _, name := range flowMaps {
		want := spec.Maps[name]
		if want.MaxEntries == n.maps[name].MaxEntries() {
			continue
		}
		next[name], err = n.nextTable(name, want)
		if err != nil {
			for _, m := range next {
				err = errors.Join(err, m.Close())
			}
			return nil, fmt.Errorf("table for %s of another size: %w", name, err)
		}
	}
	return next, nil
}

func (n *Node) nextTable(name string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if n.opts.Dir == "" {
		return ebpf.NewMap(spec)
	}
	path := n.pin(nextPin(name), mapShape(name, spec))
	left, err := ebpf.LoadPinnedMap(path, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case left.MaxEntries() == spec.MaxEntries:
		return left, nil
	default:
		if err := errors.Join(left.Close(), os.Remove(path)); err != nil {
			return nil, err
		}
	}
	return openPin(path, func(string) (*ebpf.Map, error) { return nil, fs.ErrNotExist },
		func() (*ebpf.Map, error) { return ebpf.NewMap(spec) })
}

// takePin makes the pin of a table that of the one that its flows were moved to.
func (n *Node) takePin(name string) error {
	if n.opts.Dir == "" {
		return nil
	}
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	shape := mapShape(name, spec.Maps[name])
	from := n.pin(nextPin(name), shape)
	if err := os.Rename(from, n.pin(name, shape)); err != nil {
		return err
	}
	delete(n.pins, pinName(nextPin(name), shape))
	return nil
}

// reload replaces the node's programs by those for its tables as they are, while flows are moved or not.
func (n *Node) reload(m *move) error {
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	n.size(spec)
	before := n.progs
	maps := n.maps
	if m != nil {
		maps = m.maps()
	}
	for name, opened := range maps {
		spec.Maps[name].MaxEntries = opened.MaxEntries()
	}
	if err := n.fit(spec, maps); err != nil {
		return err
	}
	if m != nil && m.mover == nil {
		if m.mover, err = loadMover(spec, maps); err != nil {
			return err
		}
	}
	for pin := range n.pins { // the programs so far are another version's from now on
		if name, _ := pinned(pin); isProgram(name) {
			delete(n.pins, pin)
		}
	}
	if err := n.openPrograms(spec, maps); err != nil {
		return err
	}
	var errs []error
	for _, p := range before {
		if !slices.Contains(n.progs[:], p) {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// maps are the tables of programs that know both those that flows are moved from and to. Where only one family's are
// moved, the other's are moved from themselves.
func (m *move) maps() map[string]*ebpf.Map {
	maps := map[string]*ebpf.Map{}
	for name, opened := range m.node.maps {
		maps[name] = opened
	}
	for name, old := range oldFlows {
		maps[old] = m.node.maps[name]
		if next := m.next[name]; next != nil {
			maps[name] = next
		}
	}
	return maps
}

func loadMover(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) (*ebpf.Program, error) {
	var progs struct {
		MoveFlow *ebpf.Program `ebpf:"move_flow"`
	}
	err := spec.LoadAndAssign(&progs, &ebpf.CollectionOptions{MapReplacements: maps})
	if err != nil {
		return nil, fmt.Errorf("load the program that moves flows: %w", err)
	}
	return progs.MoveFlow, nil
}
