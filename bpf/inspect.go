package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Counter is how many packets were decided for a reason, since the tables were made.
type Counter struct {
	Direction flow.Direction
	Reason    Reason
	Packets   uint64
}

// Counters reads the packets of every direction and reason that the programs know. It may be called while another
// goroutine uses the node, but not while one closes it.
func (n *Node) Counters() ([]Counter, error) {
	if n.tables == nil {
		return nil, os.ErrClosed
	}
	list := make([]Counter, 2*ReasonCount)
	for i := range list {
		c := &list[i]
		c.Direction, c.Reason = flow.Direction(i/int(ReasonCount)), Reason(i%int(ReasonCount))
		for cpu := range n.tables.cpus {
			c.Packets += atomic.LoadUint64(&n.tables.cpus[cpu].Packets[c.Direction][c.Reason])
		}
	}
	return list, nil
}

// Usage is how full a table is.
type Usage struct {
	Table             string
	Entries, Capacity int // of a bank where the table has banks that are written apart
}

// Usage returns how full the tables of the live bank are, in the order of Capacity, and the pods.
func (n *Node) Usage() []Usage {
	live, c := n.Epoch()&1, n.opts.Capacity
	b, t, p := &n.banks[live], &n.tables.rules.Bank[live], &n.tables.ports.Bank[live]
	return []Usage{
		{"peers4", used(n.tables.peers.Bank[live].Pages[:]), c.Peers4},
		{"prefixes6", countPrefixes(&n.tables.prefixes.Bank[live]), len(kernelPrefixBank{}.Prefixes) * int(kernelPrefix6SearchPREFIX6WAYS)},
		{"sets", used(t.Sets[:]), c.Sets},
		{"rows", used(t.Rows[:]), c.Rows},
		{"port_pages", used(p.PortPages[:]), c.PortPages},
		{"port_leaves", used(p.PortLeaves[:]), c.PortLeaves},
		{"port_edges", used(p.PortEdges[:]), c.PortEdges},
		{kernelMapPeerHosts, len(b.hosts), c.Hosts / banks},
		{kernelMapPeerNets, len(b.nets), c.Nets / banks},
		{"pods", len(n.pods), podsSize + int(n.maps[kernelMapPodsFar].MaxEntries())},
	}
}

// RemoveStale removes the pins of maps and programs that other versions left. It must be called only when every
// interface runs the programs of this version; the error is ErrMixed where that is known not to be so. Links are not touched.
func (n *Node) RemoveStale() error {
	if n.mixed {
		return fmt.Errorf("remove stale pins: %w", ErrMixed)
	}
	if n.opts.Dir == "" {
		return nil
	}
	entries, err := os.ReadDir(n.opts.Dir)
	if err != nil {
		return fmt.Errorf("list pins: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !n.uses(e.Name()) && n.knows(e.Name()) {
			errs = append(errs, n.unpin(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// formerMaps are the maps that earlier versions had and this one has not.
var formerMaps = [...]string{"replies", "fragments"}

// knows says whether a pin's name is that of one of our maps or programs, of any version.
func (n *Node) knows(pin string) bool {
	name, ok := pinned(pin)
	_, isMap := n.maps[strings.TrimPrefix(name, nextPin(""))]
	return ok && (isMap || slices.Contains(formerMaps[:], name) || isProgram(name))
}

// pinned returns what the pin NAME-HASH is of.
func pinned(pin string) (name string, ok bool) {
	i := strings.LastIndexByte(pin, '-')
	if i < 0 {
		return "", false
	}
	return pin[:i], true
}

func isProgram(name string) bool { return name == kernelProgPodEgress || name == kernelProgPodIngress }
