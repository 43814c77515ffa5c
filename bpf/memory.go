package bpf

import (
	"fmt"
	"maps"
	"os"
	"slices"
)

// Memory is what a table takes of the kernel's memory.
type Memory struct {
	Table string
	Bytes uint64
}

// Memory returns what each table takes, by name: all of it where a table is as large as it ever gets, else what its entries
// take now. It may be called while another goroutine uses the node, but not while one closes it.
func (n *Node) Memory() ([]Memory, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.maps) == 0 {
		return nil, os.ErrClosed
	}
	all := maps.Clone(n.maps)
	all[knownMap], all[namesMap] = n.noted, n.notedNames
	var list []Memory
	for _, name := range slices.Sorted(maps.Keys(all)) {
		info, err := all[name].Info()
		if err != nil {
			return nil, fmt.Errorf("memory of %s: %w", name, err)
		}
		bytes, _ := info.Memlock() // nothing is what an empty trie takes
		list = append(list, Memory{name, bytes})
	}
	return list, nil
}
