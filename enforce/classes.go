package enforce

import (
	"net/netip"
	"slices"
)

// A class is the set of the addresses that belong to the same Peers of a Program: no rule tells two of them apart. Class
// 0 are the addresses that belong to none.
type class struct {
	peers []*Peers // sorted by digest
	id    digest
}

// classes is a partition of all addresses, as a tree of prefixes: an address has the class of its longest prefix.
type classes struct {
	list     []*class
	prefixes []classPrefix // sorted by address, then by length, so that a prefix stands before those within it
}

type classPrefix struct {
	prefix netip.Prefix
	class  *class // nil: class 0
}

// partition finds the classes that a list of Peers makes.
func partition(all []*Peers) *classes {
	p := partitioner{byID: map[digest]*class{}}
	for _, e := range edges(all) {
		p.leaveAllBut(e.prefix)
		p.enter(e)
	}
	slices.SortFunc(p.result.list, func(a, b *class) int { return a.id.compare(b.id) })
	return &p.result
}

// edge is a prefix at which addresses enter blocks of Peers or leave them for an exception.
type edge struct {
	prefix  netip.Prefix
	changes []change
}

type change struct {
	peers *Peers
	delta int // +1: a block begins, -1: an exception of a block begins
}

// edges lists where membership changes, sorted like classes.prefixes.
func edges(all []*Peers) []edge {
	at := map[netip.Prefix][]change{}
	for _, p := range all {
		for _, b := range p.Blocks {
			at[b.Prefix] = append(at[b.Prefix], change{p, +1})
			for _, x := range b.Except {
				if b.Prefix.Overlaps(x) && x.Bits() >= b.Prefix.Bits() {
					at[x] = append(at[x], change{p, -1})
				} else if b.Prefix.Overlaps(x) {
					at[b.Prefix] = append(at[b.Prefix], change{p, -1}) // the exception covers its block
				}
			}
		}
	}
	list := make([]edge, 0, len(at))
	for prefix, changes := range at {
		list = append(list, edge{prefix, changes})
	}
	slices.SortFunc(list, func(a, b edge) int { return comparePrefix(a.prefix, b.prefix) })
	return list
}

// partitioner walks the edges depth first. The stack holds the edges around the one at hand; depth counts, for each Peers
// around, by how many of its blocks.
type partitioner struct {
	stack  []frame
	byID   map[digest]*class
	result classes
}

type frame struct {
	prefix netip.Prefix
	depth  map[*Peers]int // shared with the frame below where nothing changed
	class  *class
}

// leaveAllBut pops the frames that do not contain p.
func (p *partitioner) leaveAllBut(prefix netip.Prefix) {
	for n := len(p.stack); n > 0 && !p.stack[n-1].prefix.Overlaps(prefix); n-- {
		p.stack = p.stack[:n-1]
	}
}

func (p *partitioner) enter(e edge) {
	var outer frame
	if n := len(p.stack); n > 0 {
		outer = p.stack[n-1]
	}
	f := frame{prefix: e.prefix, depth: make(map[*Peers]int, len(outer.depth)+len(e.changes))}
	for peers, n := range outer.depth {
		f.depth[peers] = n
	}
	for _, c := range e.changes {
		if f.depth[c.peers] += c.delta; f.depth[c.peers] == 0 {
			delete(f.depth, c.peers)
		}
	}
	f.class = p.classOf(f.depth)
	p.stack = append(p.stack, f)
	if f.class != outer.class {
		p.result.prefixes = append(p.result.prefixes, classPrefix{e.prefix, f.class})
	}
}

func (p *partitioner) classOf(depth map[*Peers]int) *class {
	if len(depth) == 0 {
		return nil
	}
	c := &class{peers: make([]*Peers, 0, len(depth))}
	for peers := range depth {
		c.peers = append(c.peers, peers)
	}
	slices.SortFunc(c.peers, func(a, b *Peers) int { return a.id.compare(b.id) })
	h := newHasher("class")
	for _, peers := range c.peers {
		h.bytes(peers.id[:])
	}
	c.id = h.sum()
	if have := p.byID[c.id]; have != nil {
		return have
	}
	p.byID[c.id] = c
	p.result.list = append(p.result.list, c)
	return c
}
