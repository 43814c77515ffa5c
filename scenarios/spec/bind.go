package spec

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// binder replaces the placeholders of a scenario's text by what they stand for in one case:
//
//	$(protocol)        the protocol of the case
//	$(10.240.2.0/24)   this address or block, or its twin in a cluster of IPv6; where the cluster has both families, the
//	                   item of the list that it stands in is there once per family
type binder struct {
	families []flow.Family
	protocol string
	errs     strict.Errors
}

var placeholder = regexp.MustCompile(`\$\(([^()]*)\)`)

func (b *binder) fail(n *strict.Node, format string, args ...any) string {
	b.errs = append(b.errs, n.Errorf(format, args...))
	return ""
}

// node returns a copy of n without placeholders.
func (b *binder) node(n *strict.Node) *strict.Node {
	bound := *n
	switch n.Kind {
	case strict.String:
		bound.Text = placeholder.ReplaceAllStringFunc(n.Text, func(match string) string {
			return b.meaning(n, match[2:len(match)-1])
		})
	case strict.List:
		bound.Items = b.items(n.Items)
	case strict.Map:
		bound.Fields = make([]*strict.Field, len(n.Fields))
		for i, f := range n.Fields {
			bound.Fields[i] = &strict.Field{Key: f.Key, Value: b.node(f.Value)}
		}
	}
	return &bound
}

// items repeats an item that holds an address for every family.
func (b *binder) items(items []*strict.Node) []*strict.Node {
	var bound []*strict.Node
	for _, item := range items {
		if len(b.families) < 2 || item.Kind != strict.Map || item.Get("kind") != nil || !holdsAddress(item) {
			bound = append(bound, b.node(item))
			continue
		}
		for _, f := range b.families {
			one := binder{families: []flow.Family{f}, protocol: b.protocol}
			bound = append(bound, one.node(item))
			b.errs = append(b.errs, one.errs...)
		}
	}
	return bound
}

// holdsAddress reports whether an address is written in n, but not in a smaller item that could be repeated instead.
func holdsAddress(n *strict.Node) bool {
	switch n.Kind {
	case strict.String:
		m := placeholder.FindStringSubmatch(n.Text)
		return m != nil && isAddress(m[1])
	case strict.List:
		return slices.ContainsFunc(n.Items, func(item *strict.Node) bool {
			return item.Kind != strict.Map && holdsAddress(item)
		})
	}
	return slices.ContainsFunc(n.Fields, func(f *strict.Field) bool { return holdsAddress(f.Value) })
}

func isAddress(word string) bool { return strings.ContainsAny(word, ".:") }

func (b *binder) meaning(n *strict.Node, word string) string {
	switch {
	case word == "protocol" && b.protocol != "":
		return b.protocol
	case word == "protocol":
		return b.fail(n, "$(protocol) has no meaning, since vary lists no protocols")
	case !isAddress(word):
		return b.fail(n, "$(%s) has no meaning: placeholders are $(protocol) and IPv4 addresses or blocks", word)
	case len(b.families) > 1:
		return b.fail(n, "$(%s) cannot be of two families here", word)
	}
	return b.address(n, word)
}

func (b *binder) address(n *strict.Node, word string) string {
	if addr, err := netip.ParseAddr(word); err == nil && addr.Is4() {
		return twinAddr(b.families[0], addr).String()
	}
	if block, err := netip.ParsePrefix(word); err == nil && block.Addr().Is4() {
		if twin, ok := twinBlock(b.families[0], block); ok {
			return twin.String()
		}
		return b.fail(n, "$(%s) has no counterpart in IPv6: /0, /8, /16 to /32 have", word)
	}
	return b.fail(n, "$(%s) is neither an IPv4 address nor an IPv4 block", word)
}

// twinAddr returns a's counterpart: a.b.c.d is fd00:a:b:c::d, the first two as they are written, so that 10.240.2.16,
// an address of node 2, is fd00:10:240:2::10.
func twinAddr(f flow.Family, a netip.Addr) netip.Addr {
	if f == flow.IPv4 {
		return a
	}
	b := a.As4()
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d:%d:%x::%x", b[0], b[1], b[2], b[3]))
}

// twinBlock returns the block of the twins of the addresses in p. Not every block has one: the first two numbers of an
// address are written the same in both families, so they are no ranges of bits.
func twinBlock(f flow.Family, p netip.Prefix) (netip.Prefix, bool) {
	if f == flow.IPv4 {
		return p, true
	}
	bits := p.Bits()
	switch {
	case bits > 24:
		bits += 96
	case bits == 24:
		bits = 64
	case bits > 16:
		bits += 40
	case bits%8 == 0:
		bits = map[int]int{0: 0, 8: 32, 16: 48}[bits]
	default:
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(twinAddr(f, p.Addr()), bits).Masked(), true
}
