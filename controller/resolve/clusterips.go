package resolve

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// throughServices makes egress entries mean for a ClusterIP what they mean for the backends behind it: a frontend all
// of whose backends are allowed is allowed, and one with a backend that is not allowed is closed, except where an
// ipBlock names just its address. See the package comment.
func (x *Index) throughServices(direct []entry) []entry {
	if len(direct) == 0 {
		return direct
	}
	m := newMatcher(direct)
	var open []opening
	var closed []*frontend
	for _, f := range x.candidates(m) {
		if rule, ok := m.allowsAll(f); ok {
			open = append(open, opening{f, rule})
		} else {
			closed = append(closed, f)
		}
	}
	entries := slices.Clone(direct)
	for _, i := range m.prefixes {
		entries[i].except = direct[i].exceptAlso(closed)
	}
	return normal(append(entries, missing(entries, open)...))
}

// candidates returns the frontends that m may open or close, sorted.
func (x *Index) candidates(m *matcher) []*frontend {
	if len(m.prefixes) > 0 {
		return x.services.sorted()
	}
	return x.services.behind(m.single)
}

// exceptAlso returns the exceptions of e and the addresses of those frontends that e would open. There may be
// thousands, so each is compared with what e itself excepts, and the list is sorted once.
func (e *entry) exceptAlso(closed []*frontend) []netip.Prefix {
	except := slices.Clone(e.except)
	for _, f := range closed {
		if e.allows(f.addr, f.protocol, f.port) {
			except = append(except, single(f.addr))
		}
	}
	slices.SortFunc(except, comparePrefixes)
	return slices.Compact(except)
}

// opening is a frontend that a rule is to open.
type opening struct {
	*frontend
	rule int
}

// missing returns entries for those openings that entries do not allow yet: one per address and rule.
func missing(entries []entry, open []opening) []entry {
	m := newMatcher(entries)
	var added []entry
	at := map[entryKey]int{}
	for _, o := range open {
		if _, ok := m.allows(o.addr, o.protocol, o.port); ok {
			continue
		}
		key := entryKey{o.rule, o.addr}
		if _, ok := at[key]; !ok {
			at[key] = len(added)
			added = append(added, entry{rule: o.rule, block: block{prefix: single(o.addr)}, bare: true})
		}
		e := &added[at[key]]
		e.ports = append(e.ports, portRange{o.protocol, o.port, o.port})
	}
	return added
}

// entryKey finds the entry of a rule for an address.
type entryKey struct {
	rule int
	addr netip.Addr
}

// matcher answers what a list of entries allows. It is fast where most entries are single addresses.
type matcher struct {
	entries  []entry
	single   map[netip.Addr][]int // indices of entries, ascending
	prefixes []int
}

func newMatcher(entries []entry) *matcher {
	m := &matcher{entries: entries, single: map[netip.Addr][]int{}}
	for i := range entries {
		if p := entries[i].prefix; p.IsSingleIP() {
			m.single[p.Addr()] = append(m.single[p.Addr()], i)
		} else {
			m.prefixes = append(m.prefixes, i)
		}
	}
	return m
}

// allows returns the first rule that opens port of a.
func (m *matcher) allows(a netip.Addr, protocol corev1.Protocol, port uint16) (rule int, ok bool) {
	for _, candidates := range [][]int{m.single[a], m.prefixes} {
		for _, i := range candidates {
			e := &m.entries[i]
			if (!ok || e.rule < rule) && e.allows(a, protocol, port) {
				rule, ok = e.rule, true
			}
		}
	}
	return rule, ok
}

// allowsAll reports whether every backend of f is allowed, and returns the rule that opens the first.
func (m *matcher) allowsAll(f *frontend) (rule int, ok bool) {
	for i, b := range f.backends {
		r, allowed := m.allows(b.Addr(), f.protocol, b.Port())
		if !allowed {
			return 0, false
		}
		if i == 0 {
			rule = r
		}
	}
	return rule, true
}
