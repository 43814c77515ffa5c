package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// entry is one v1alpha1.EndpointInfo, in a form that can be compared and asked.
type entry struct {
	rule int // its index in spec.ingress or spec.egress
	block
	bare  bool        // the address of a pod or a Service, written without a prefix length
	ports []portRange // sorted; nil is everything
}

// allows reports whether e opens port of a.
func (e *entry) allows(a netip.Addr, protocol corev1.Protocol, port uint16) bool {
	return e.contains(a) && (e.ports == nil ||
		slices.ContainsFunc(e.ports, func(r portRange) bool { return r.contains(protocol, port) }))
}

// String tells e from every other entry of its list, in the same words in every process.
func (e entry) String() string {
	return fmt.Sprintf("%d %v %t %v %v", e.rule, e.prefix, e.bare, e.except, e.ports)
}

func (e *entry) api() v1alpha1.EndpointInfo {
	info := v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(e.prefix.String())}
	if e.bare {
		info.CIDR = v1alpha1.NetworkAddress(e.prefix.Addr().String())
	}
	for _, x := range e.except {
		info.Except = append(info.Except, v1alpha1.NetworkAddress(x.String()))
	}
	for _, r := range e.ports {
		info.Ports = append(info.Ports, r.api())
	}
	return info
}

func compareEntries(a, b entry) int {
	return cmp.Or(
		cmp.Compare(a.rule, b.rule),
		comparePrefixes(a.prefix, b.prefix),
		compareBools(a.bare, b.bare),
		slices.CompareFunc(a.except, b.except, comparePrefixes),
		slices.CompareFunc(a.ports, b.ports, compareRanges),
	)
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// compareBools puts false first.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// normal sorts entries and drops those that say the same, which selectors that overlap produce.
func normal(entries []entry) []entry {
	slices.SortFunc(entries, compareEntries)
	return slices.CompactFunc(entries, func(a, b entry) bool { return compareEntries(a, b) == 0 })
}

// single is the prefix that holds a alone.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// ingressEntries lists the sources that may reach the pods of v, on ports of those pods.
func (x *Index) ingressEntries(rules []rule, v variant) []entry {
	var entries []entry
	for _, r := range rules {
		ports, ok := r.ports.on(v.named)
		if !ok {
			continue
		}
		entries = append(entries, r.blockEntries(ports)...)
		for _, p := range r.peers.pods() {
			entries = append(entries, x.podEntries(r, p, ports)...)
		}
	}
	return normal(entries)
}

// egressEntries lists the destinations of rules, on ports of each destination.
func (x *Index) egressEntries(rules []rule) []entry {
	var entries []entry
	for _, r := range rules {
		if ports, ok := r.ports.on(nil); ok {
			entries = append(entries, r.blockEntries(ports)...)
		}
		for _, p := range r.peers.pods() {
			if ports, ok := r.ports.on(p.ports); ok {
				entries = append(entries, x.podEntries(r, p, ports)...)
			}
		}
		entries = append(entries, x.namedInBlocks(r)...)
	}
	return normal(entries)
}

// blockEntries opens ports of every ipBlock of r.
func (r *rule) blockEntries(ports []portRange) []entry {
	var entries []entry
	for _, b := range r.peers.blocks {
		entries = append(entries, entry{rule: r.index, block: b, ports: ports})
	}
	return entries
}

// podEntries opens ports of every address that is p's.
func (x *Index) podEntries(r rule, p *pod, ports []portRange) []entry {
	var entries []entry
	for _, a := range p.addrs {
		if x.ownerOf(a) == p {
			entries = append(entries, r.addrEntry(a, ports))
		}
	}
	return entries
}

func (r *rule) addrEntry(a netip.Addr, ports []portRange) entry {
	return entry{rule: r.index, block: block{prefix: single(a)}, bare: true, ports: ports}
}

// namedInBlocks opens the named ports of r on the pods inside its ipBlocks: a name means nothing on an address that is
// no pod's, and on each pod what that pod declares.
func (x *Index) namedInBlocks(r rule) []entry {
	if len(r.ports.names) == 0 || len(r.peers.blocks) == 0 {
		return nil
	}
	selected := map[*pod]bool{}
	for _, p := range r.peers.pods() {
		selected[p] = true
	}
	var entries []entry
	for _, p := range x.declaringAny(r.ports.names) {
		ports := r.ports.namedOn(p.ports)
		if selected[p] {
			continue
		}
		for _, a := range p.addrs {
			if x.ownerOf(a) == p && slices.ContainsFunc(r.peers.blocks, func(b block) bool { return b.contains(a) }) {
				entries = append(entries, r.addrEntry(a, ports))
			}
		}
	}
	return entries
}

// declaringAny returns the pods that declare one of names, each once.
func (x *Index) declaringAny(names []portName) []*pod {
	var found []*pod
	for _, name := range names {
		found = append(found, x.declaring[name]...)
	}
	slices.SortFunc(found, comparePods)
	return slices.Compact(found)
}
