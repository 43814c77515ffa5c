package cluster

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// addresses are those that a scenario knows, and what they are in the cluster.
type addresses map[netip.Addr]netip.Addr

// nobodys are blocks for documentation, which no cluster uses.
var nobodys = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}

// peers replaces blocks by blocks that hold, of the addresses known, the same ones at their real value. They become
// real blocks, as wide as they may be between the first and the last of what they hold, and several where others lie
// between.
func (a addresses) peers(peers []networkingv1.NetworkPolicyPeer) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for _, p := range peers {
		if p.IPBlock == nil {
			out = append(out, p)
			continue
		}
		for _, b := range a.blocks(p.IPBlock) {
			out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: b})
		}
	}
	return out
}

// blocks returns at least one block: no peer at all would mean everybody.
func (a addresses) blocks(b *networkingv1.IPBlock) []*networkingv1.IPBlock {
	cidr, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return []*networkingv1.IPBlock{b} // the API server says what is wrong with it
	}
	var in, excepted, out []netip.Addr
	for _, scenario := range a.known(cidr.Addr().Is4()) {
		switch real := a[scenario]; {
		case !cidr.Masked().Contains(scenario):
			out = append(out, real)
		case holdsOne(b.Except, scenario):
			in, excepted = append(in, real), append(excepted, real)
		default:
			in = append(in, real)
		}
	}
	tops := []netip.Prefix{cidr.Masked()} // 0.0.0.0/0 and ::/0 mean the same everywhere
	if cidr.Bits() > 0 {
		tops = cover(in, out)
	}
	var blocks []*networkingv1.IPBlock
	for _, top := range tops {
		if block := without(top, in, excepted); block != nil {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) == 0 {
		return []*networkingv1.IPBlock{{CIDR: a.nobody(cidr).String()}}
	}
	return blocks
}

// known returns the scenario's addresses of a family, in order.
func (a addresses) known(is4 bool) []netip.Addr {
	var all []netip.Addr
	for scenario := range a {
		if scenario.Is4() == is4 {
			all = append(all, scenario)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

func holdsOne(blocks []string, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(b string) bool {
		p, err := netip.ParsePrefix(b)
		return err == nil && p.Masked().Contains(a)
	})
}

// without returns top without the excepted addresses in it, nil if nothing else of in is left there.
func without(top netip.Prefix, in, excepted []netip.Addr) *networkingv1.IPBlock {
	inside := func(all []netip.Addr) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return !top.Contains(a) })
	}
	stay := slices.DeleteFunc(inside(in), func(a netip.Addr) bool { return slices.Contains(excepted, a) })
	if len(stay) == 0 && top.Bits() > 0 {
		return nil
	}
	block := &networkingv1.IPBlock{CIDR: top.String()}
	for _, p := range cover(inside(excepted), stay) {
		block.Except = append(block.Except, p.String())
	}
	return block
}

// nobody returns a block like cidr in which no known address is.
func (a addresses) nobody(cidr netip.Prefix) netip.Prefix {
	for _, real := range a {
		if cidr.Masked().Contains(real) {
			return nobodys[cidr.Addr().BitLen()/128]
		}
	}
	return cidr.Masked()
}

// cover returns the fewest blocks that hold all of in and none of out, each as narrow as that allows.
func cover(in, out []netip.Addr) []netip.Prefix {
	if len(in) == 0 {
		return nil
	}
	top := around(in)
	if top.IsSingleIP() || !slices.ContainsFunc(out, top.Contains) {
		return []netip.Prefix{top}
	}
	half := netip.PrefixFrom(top.Addr(), top.Bits()+1)
	var low, high []netip.Addr
	for _, a := range in {
		if half.Contains(a) {
			low = append(low, a)
		} else {
			high = append(high, a)
		}
	}
	return append(cover(low, out), cover(high, out)...)
}

// around returns the narrowest block that holds all of some addresses of one family.
func around(addrs []netip.Addr) netip.Prefix {
	for bits := addrs[0].BitLen(); ; bits-- {
		p := netip.PrefixFrom(addrs[0], bits).Masked()
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !p.Contains(a) }) {
			return p
		}
	}
}

// hasBlocks reports whether a policy speaks of addresses.
func hasBlocks(p *networkingv1.NetworkPolicy) bool {
	block := func(peer networkingv1.NetworkPolicyPeer) bool { return peer.IPBlock != nil }
	return slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
		return slices.ContainsFunc(r.From, block)
	}) || slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(r.To, block)
	})
}

// policy replaces the blocks of a policy, which it changes.
func (a addresses) policy(p *networkingv1.NetworkPolicy) {
	for i := range p.Spec.Ingress {
		p.Spec.Ingress[i].From = a.peers(p.Spec.Ingress[i].From)
	}
	for i := range p.Spec.Egress {
		p.Spec.Egress[i].To = a.peers(p.Spec.Egress[i].To)
	}
}
