package enforce

import (
	"maps"
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
	prefixes []classPrefix // sorted by address, IPv4 first, then by length, so that a prefix stands before those within it
}

type classPrefix struct {
	prefix netip.Prefix
	class  *class // nil: class 0
}

// partition finds the classes that a list of Peers makes.
func partition(all []*Peers) *classes {
	p := partitioner{stack: []frame{{member: &member{}}}, byID: map[digest]*class{}}
	edges := edges(all)
	p.result.prefixes = make([]classPrefix, 0, len(edges))
	for _, e := range edges {
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
	type step struct {
		prefix netip.Prefix
		change change
	}
	count := 0
	for _, p := range all {
		for _, b := range p.Blocks {
			count += 1 + len(b.Except)
		}
	}
	steps := make([]step, 0, count)
	add := func(prefix netip.Prefix, c change) { steps = append(steps, step{prefix, c}) }
	for _, p := range all {
		for _, b := range p.Blocks {
			add(b.Prefix, change{p, +1})
			for _, x := range b.Except {
				if b.Prefix.Overlaps(x) && x.Bits() >= b.Prefix.Bits() {
					add(x, change{p, -1})
				} else if b.Prefix.Overlaps(x) {
					add(b.Prefix, change{p, -1}) // the exception covers its block
				}
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return comparePrefix(a.prefix, b.prefix) })
	list := make([]edge, 0, len(steps))
	changes := make([]change, len(steps)) // of all edges, one after the other
	for i, s := range steps {
		changes[i] = s.change
		if last := len(list) - 1; last >= 0 && list[last].prefix == s.prefix {
			n := len(list[last].changes) + 1
			list[last].changes = changes[i+1-n : i+1]
		} else {
			list = append(list, edge{s.prefix, changes[i : i+1]})
		}
	}
	return list
}

// partitioner walks the edges depth first.
type partitioner struct {
	stack  []frame // the edges around the one at hand; the first one is around all
	byID   map[digest]*class
	result classes
}

type frame struct {
	prefix netip.Prefix
	member *member
	// The last edge within, and what it made: most blocks of a long list do the same.
	changes []change
	inner   *member
}

// member says what addresses belong to: by how many of its blocks each Peers is around them, and the class that follows.
type member struct {
	depth map[*Peers]int
	class *class
}

// leaveAllBut pops the frames that do not contain p.
func (p *partitioner) leaveAllBut(prefix netip.Prefix) {
	for n := len(p.stack); n > 1 && !p.stack[n-1].prefix.Overlaps(prefix); n-- {
		p.stack = p.stack[:n-1]
	}
}

func (p *partitioner) enter(e edge) {
	outer := &p.stack[len(p.stack)-1]
	if outer.inner == nil || !slices.Equal(outer.changes, e.changes) {
		outer.changes, outer.inner = e.changes, p.changed(outer.member, e.changes)
	}
	inner := outer.inner
	if inner.class != outer.member.class {
		p.result.prefixes = append(p.result.prefixes, classPrefix{e.prefix, inner.class})
	}
	p.stack = append(p.stack, frame{prefix: e.prefix, member: inner})
}

// changed returns what addresses belong to after changes.
func (p *partitioner) changed(outer *member, changes []change) *member {
	depth := make(map[*Peers]int, len(outer.depth)+len(changes))
	maps.Copy(depth, outer.depth)
	for _, c := range changes {
		if depth[c.peers] += c.delta; depth[c.peers] == 0 {
			delete(depth, c.peers)
		}
	}
	return &member{depth, p.classOf(depth)}
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
