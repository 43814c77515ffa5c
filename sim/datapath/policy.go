package datapath

import (
	"net/netip"

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
	row := slot(d.img.Sets, set, out.Class>>8)
	ports := slot(d.img.Rows, row, out.Class)
	switch {
	case ports == bpf.PortsAll, ports >= bpf.PortsFirst && d.portAllowed(ports, p, port):
		return bpf.ReasonPolicy
	case p.hasPorts || ports == bpf.PortsNone:
		return bpf.ReasonNoRule
	}
	return bpf.ReasonFragment
}

// slot returns a slot of a page of a table; beyond the table all slots are zero.
func slot(table []bpf.Page, page, slot uint32) uint32 {
	if page >= uint32(len(table)) {
		return 0
	}
	return table[page].Slot[slot%uint32(bpf.Fanout)]
}

// class returns the class of an address.
func (d *Datapath) class(a netip.Addr) uint32 {
	if !a.Is4() {
		return d.longestPrefix(a, 0)
	}
	b := a.As4()
	s := slot(d.img.Peers4, uint32(b[0]), uint32(b[1]))
	for _, octet := range b[2:] {
		if s&bpf.PeerPage == 0 {
			break
		}
		s = slot(d.img.Peers4, s&bpf.PeerIndexMask, uint32(octet))
	}
	if s&bpf.PeerSparse != 0 {
		return d.longestPrefix(a, s&bpf.PeerClassMask)
	}
	return s & bpf.PeerClassMask
}

// longestPrefix looks an address up among the hosts and prefixes, an IPv4 one as IPv4-mapped.
func (d *Datapath) longestPrefix(a netip.Addr, otherwise uint32) uint32 {
	key := a.As16()
	if class, ok := d.hosts[key]; ok {
		return class
	}
	for bits := 128; bits >= 0; bits-- {
		p := netip.PrefixFrom(netip.AddrFrom16(key), bits).Masked()
		if class, ok := d.nets[netKey{p.Addr().As16(), uint8(bits)}]; ok {
			return class
		}
	}
	return otherwise
}

func (d *Datapath) portAllowed(set uint32, p *packet, port uint16) bool {
	if set >= uint32(len(d.img.PortSets)) {
		return false
	}
	var word uint32
	switch s := d.img.PortSets[set]; p.protocol {
	case flow.TCP:
		word = s.Tcp
	case flow.UDP:
		word = s.Udp
	case flow.SCTP:
		word = s.Sctp
	}
	if word >= bpf.PortsFirst && p.hasPorts {
		word = slot(d.img.PortPages, word, uint32(port>>8))
		if word >= bpf.PortsFirst {
			return d.leafAllows(word, port)
		}
	}
	return word == bpf.PortsAll
}

func (d *Datapath) leafAllows(leaf uint32, port uint16) bool {
	if leaf >= uint32(len(d.img.PortLeaves)) {
		return false
	}
	return d.img.PortLeaves[leaf].Bits[port>>6&3]>>(port&63)&1 == 1
}
