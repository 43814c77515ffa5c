package enforce

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Program is what a node enforces, in normal form: equal inputs give equal Programs.
type Program struct {
	// Pods are sorted by interface.
	Pods []PodProgram
	// Sets are the combinations of rules in use, sorted by digest.
	Sets []*Set
	// Peers are the sets of peers in use, sorted by digest.
	Peers []*Peers
	// Conditions say what was closed because it could not be read, sorted by object.
	Conditions []Condition
}

// PodProgram is one pod and what it is isolated by. A nil set means "not isolated".
type PodProgram struct {
	Pod
	Sets [2]*Set // by flow.Direction
}

// Set is an immutable combination of rules: what a pod may exchange in one direction.
type Set struct {
	Direction flow.Direction
	Rules     []Rule // sorted; empty: closed
	id        digest
}

// Rule allows some peers some ports.
type Rule struct {
	Origin Origin
	Peers  *Peers
	Ports  *Ports
}

// Origin says where a rule came from: a rule of a policy, or with an empty Policy the node's own right to be reached.
type Origin struct {
	Namespace, Policy string
	Direction         flow.Direction
	// Index counts the policy's rules in that direction from 0; -1 where the PolicyEndpoint does not tell.
	Index int
}

func (o Origin) compare(p Origin) int {
	return cmp.Or(cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Policy, p.Policy),
		cmp.Compare(o.Direction, p.Direction), cmp.Compare(o.Index, p.Index))
}

// Peers is a set of addresses: the union of its blocks.
type Peers struct {
	Blocks []Block // sorted, no duplicates
	id     digest
}

// Block is a prefix without the prefixes in Except, none of which contains another.
type Block struct {
	Prefix netip.Prefix
	Except []netip.Prefix
}

// Contains says whether a is one of the peers.
func (p *Peers) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(p.Blocks, func(b Block) bool {
		return b.Prefix.Contains(a) && !slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Contains(a) })
	})
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func (b Block) compare(o Block) int {
	return cmp.Or(comparePrefix(b.Prefix, o.Prefix), slices.CompareFunc(b.Except, o.Except, comparePrefix))
}

// newPeers returns the normal form of the union of blocks.
func newPeers(blocks []Block) *Peers {
	slices.SortFunc(blocks, Block.compare)
	blocks = slices.CompactFunc(blocks, func(a, b Block) bool { return a.compare(b) == 0 })
	h := newHasher("peers")
	for _, b := range blocks {
		h.prefix(b.Prefix)
		for _, e := range b.Except {
			h.str("except")
			h.prefix(e)
		}
	}
	return &Peers{Blocks: blocks, id: h.sum()}
}

func (h hasher) prefix(p netip.Prefix) {
	a := p.Addr().AsSlice()
	h.bytes(append(a, byte(p.Bits())))
}

// newSet returns the normal form of a combination of rules.
func newSet(dir flow.Direction, rules []Rule) *Set {
	slices.SortFunc(rules, func(a, b Rule) int {
		if c := cmp.Or(a.Origin.compare(b.Origin), a.Peers.id.compare(b.Peers.id)); c != 0 {
			return c
		}
		return cmp.Compare(a.Ports.String(), b.Ports.String())
	})
	h := newHasher("set")
	h.str(dir.String())
	for _, r := range rules {
		h.str(r.Origin.Namespace)
		h.str(r.Origin.Policy)
		h.bytes([]byte{byte(r.Origin.Index), byte(r.Origin.Index >> 8), byte(r.Origin.Index >> 16)})
		h.bytes(r.Peers.id[:])
		h.str(r.Ports.String())
	}
	return &Set{Direction: dir, Rules: rules, id: h.sum()}
}
