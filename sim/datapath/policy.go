package datapath

import (
	"math"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// policy says whether a set allows the flow of p with a peer; port is the destination port of the flow.
func (d *Datapath) policy(set uint32, p *packet, peer netip.Addr, port uint16, out *bpf.Outcome) bpf.Reason {
	if set == bpf.SetUnknown && d.mode == bpf.Standard {
		set = bpf.SetOpen
	}
	out.Set = set
	switch set {
	case bpf.SetOpen:
		return bpf.ReasonNotIsolated
	case bpf.SetClosed:
		return bpf.ReasonClosed
	case bpf.SetUnknown:
		return bpf.ReasonUnknownPod
	}
	out.Class = d.class(peer)
	row := entry(d.img.Sets, set).Row[out.Class/uint32(bpf.RowClasses)]
	ports := entry(d.img.Rows, uint32(row)).Ports[out.Class%uint32(bpf.RowClasses)]
	switch {
	case d.portAllowed(ports, p, port):
		return bpf.ReasonPolicy
	case p.hasPorts || ports == bpf.PortsNone:
		return bpf.ReasonNoRule
	}
	return bpf.ReasonFragment
}

// entry returns an entry of a table; beyond the table all are zero.
func entry[T any](table []T, i uint32) *T {
	if i < uint32(len(table)) {
		return &table[i]
	}
	return new(T)
}

// class returns the class of an address.
func (d *Datapath) class(a netip.Addr) uint32 {
	if !a.Is4() {
		return d.class6(a)
	}
	b := a.As4()
	s := uint32(entry(d.img.Peers4, uint32(b[0])).Slot[b[1]])
	for _, octet := range b[2:] {
		if s&bpf.PeerPage == 0 {
			break
		}
		s = uint32(entry(d.img.Peers4, s&bpf.PeerPageMask).Slot[octet])
	}
	if s&bpf.PeerSparse != 0 {
		return d.longestPrefix(a, s&bpf.PeerClassMask)
	}
	return s & bpf.PeerClassMask
}

// class6 returns the class of an IPv6 address.
func (d *Datapath) class6(a netip.Addr) uint32 {
	if page, ok := d.pages[netip.PrefixFrom(a, 120).Masked()]; ok {
		return uint32(entry(d.img.Peers4, page).Slot[a.As16()[15]])
	}
	return d.longestPrefix(a, 0)
}

// longestPrefix looks an address up among the hosts and prefixes of its family.
func (d *Datapath) longestPrefix(a netip.Addr, otherwise uint32) uint32 {
	if class, ok := d.hosts[a]; ok {
		return class
	}
	for _, bits := range d.lengths {
		if bits > a.BitLen() {
			continue
		}
		if class, ok := d.nets[netip.PrefixFrom(a, bits).Masked()]; ok {
			return class
		}
	}
	return otherwise
}

// portAllowed reads a word of a row.
func (d *Datapath) portAllowed(ports uint32, p *packet, port uint16) bool {
	if ports&bpf.PortsListed != 0 {
		return d.portListed(ports, p, port)
	}
	var page uint32
	switch p.protocol {
	case flow.TCP:
		page = ports >> bpf.PortsTCPShift & bpf.PortsPageMask
	case flow.UDP:
		page = ports >> bpf.PortsUDPShift & bpf.PortsPageMask
	case flow.SCTP:
		page = ports >> bpf.PortsSCTPShift & bpf.PortsPageMask
	default:
		return ports&bpf.PortsOther != 0
	}
	if !p.hasPorts {
		return page == bpf.PortsEvery
	}
	leaf := entry(d.img.PortPages, page).Leaf[port>>8]
	return entry(d.img.PortLeaves, uint32(leaf)).Bits[port>>6&3]>>(port&63)&1 == 1
}

// listedProtocols is the order of protocols among the edges of lists.
var listedProtocols = []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP}

// portListed reads the list that a word names: range by range, where the programs search. A packet without a port needs a range of all.
func (d *Datapath) portListed(word uint32, p *packet, port uint16) bool {
	protocol := slices.Index(listedProtocols, p.protocol)
	if protocol < 0 {
		return word&bpf.PortsOther != 0
	}
	first, last := uint32(port), uint32(port)
	if !p.hasPorts {
		first, last = 0, math.MaxUint16
	}
	base := uint32(protocol) << bpf.PortEdgesProtocolShift
	at, bits := bpf.ListedAt(word)
	for i := range uint32(1) << bits / 2 {
		from, to := *entry(d.img.PortEdges, uint32(at)+2*i), *entry(d.img.PortEdges, uint32(at)+2*i+1)
		if from <= base|first && base|last < to {
			return true
		}
	}
	return false
}
