package bpf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"

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
	m := &move{node: n, next: map[string]*ebpf.Map{}}
	for _, name := range flowMaps {
		if n.maps[name].MaxEntries() != n.opts.Capacity.flowPlaces() {
			m.names = append(m.names, name)
		}
	}
	if len(m.names) == 0 {
		return false, nil
	}
	if err := n.Replace(new(sync.Mutex), replace); err != nil { // those that an earlier attempt left, which keep its tables
		return false, fmt.Errorf("move flows: %w", err)
	}
	if err := m.run(replace); err != nil {
		return false, fmt.Errorf("move flows: %w", errors.Join(err, m.close()))
	}
	return true, m.close()
}

// move is a change of the size of tables of flows.
type move struct {
	node  *Node
	names []string             // of the tables
	next  map[string]*ebpf.Map // those that are not the node's yet
	mover *ebpf.Program
}

func (m *move) close() error {
	var errs []error
	for _, next := range m.next {
		errs = append(errs, next.Close())
	}
	if m.mover != nil {
		errs = append(errs, m.mover.Close())
	}
	return errors.Join(errs...)
}

func (m *move) run(replace func() error) error {
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	if err := m.node.size(spec); err != nil {
		return err
	}
	for _, name := range m.names {
		if m.next[name], err = m.node.nextTable(name, spec.Maps[name]); err != nil {
			delete(m.next, name)
			return fmt.Errorf("table for %s of another size: %w", name, err)
		}
	}
	m.node.mixed = true
	if err := m.load(); err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	for _, name := range m.names {
		if err := m.flows(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range m.names {
		if err := m.node.take(name, m.next[name]); err != nil {
			return err
		}
		delete(m.next, name)
	}
	if err := m.node.reload(m.node.maps, nil); err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	return m.node.replaced()
}

// load makes the node's programs those that know both tables.
func (m *move) load() error {
	maps := m.maps()
	return m.node.reload(maps, func(spec *ebpf.CollectionSpec) error {
		var progs struct {
			MoveFlow *ebpf.Program `ebpf:"move_flow"`
		}
		err := spec.LoadAndAssign(&progs, &ebpf.CollectionOptions{MapReplacements: maps})
		m.mover = progs.MoveFlow
		return err
	})
}

// maps are the tables of programs that know both those that flows are moved from and to. Where only one family's are
// moved, the other's are moved from themselves.
func (m *move) maps() map[string]*ebpf.Map {
	all := maps.Clone(m.node.maps)
	for name, old := range oldFlows {
		all[old] = m.node.maps[name]
	}
	maps.Copy(all, m.next)
	return all
}

// flows moves the flows of a table, one by one.
func (m *move) flows(name string) error {
	in := skbContext{}
	if name == kernelMapFlows6 {
		in.CB[1] = 1
	}
	run := ebpf.RunOptions{Data: make([]byte, 64), Context: &in} // a frame that nobody reads
	for place := range m.node.maps[name].MaxEntries() {
		for way := range uint32(flowWays) {
			in.Mark, in.CB[0] = place, way
			got, err := m.mover.Run(&run)
			if err != nil {
				return fmt.Errorf("move way %d of place %d: %w", way, place, err)
			}
			if kernelMoved(got) == kernelMovedMOVED_NONE {
				break
			}
		}
	}
	return nil
}

// take makes next one of the node's tables, and its pin that of the one so far.
func (n *Node) take(name string, next *ebpf.Map) error {
	if n.opts.Dir != "" {
		if err := os.Rename(n.pin(nextPin(name), n.shape), n.pin(name, n.shape)); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pins, pinName(nextPin(name), n.shape))
	old := n.maps[name]
	n.maps[name] = next
	return old.Close()
}

// table is one of the node's, for those who use it beside others.
func (n *Node) table(name string) *ebpf.Map {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.maps[name]
}

// nextTable makes a table that is to take the place of one of the node's, or opens what an earlier attempt has left.
func (n *Node) nextTable(name string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if n.opts.Dir == "" {
		return ebpf.NewMap(spec)
	}
	path := n.pin(nextPin(name), n.shape)
	m, err := openTable(path, spec)
	if err != nil || m.MaxEntries() == spec.MaxEntries {
		return m, err
	}
	if err := errors.Join(m.Close(), os.Remove(path)); err != nil { // the attempt was for another size
		return nil, err
	}
	return openTable(path, spec)
}

// dropNext removes the pin of what an earlier attempt has left of such a table.
func (n *Node) dropNext(name string) error {
	if n.opts.Dir == "" {
		return nil
	}
	return n.unpin(pinName(nextPin(name), n.shape))
}

// reload replaces the node's programs by those for tables; with is what else to do with the object file that they are made of.
func (n *Node) reload(tables map[string]*ebpf.Map, with func(*ebpf.CollectionSpec) error) error {
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	if err := n.fit(spec, tables); err != nil {
		return err
	}
	if with != nil {
		if err := with(spec); err != nil {
			return err
		}
	}
	before := n.pins
	after := maps.Clone(before)
	maps.DeleteFunc(after, func(pin string, _ bool) bool { // the programs so far are another version's from now on
		name, _ := pinned(pin)
		return isProgram(name)
	})
	n.usePins(after)
	progs, err := n.openPrograms(spec, tables)
	if err != nil {
		n.usePins(before)
		return err
	}
	progs, n.progs = n.progs, progs
	return errors.Join(progs[0].Close(), progs[1].Close())
}
