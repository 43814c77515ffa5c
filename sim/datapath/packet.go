package datapath

import (
	"encoding/binary"
	"net/netip"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

type parseResult uint8

const (
	parsed parseResult = iota
	neighbour
	unsupported
	tagged
	malformed
)

// packet is what the verdict needs of a frame. A malformed one has its addresses where they were there.
type packet struct {
	src, dst         netip.Addr
	protocol         flow.Protocol
	hasPorts         bool
	opens            bool // can only be the first packet of a flow
	srcPort, dstPort uint16
	fragment         fragmentPlace
	fragmentID       uint32
	fragmentOf       flow.Protocol // what all fragments of the datagram name
	fragmentAt       int           // in what was cut: where a later fragment begins, or the first one's transport header ends
	inner            []byte        // the packet that an ICMP error is about, as far as it is there
	discovery        []byte        // the message, where that is what the packet is
	payload          int           // of IPv6, in bytes, extension headers included
}

type fragmentPlace uint8

const (
	noFragment fragmentPlace = iota
	firstFragment
	laterFragment
)

const (
	etherLen   = 14
	etherIP4   = 0x0800
	etherARP   = 0x0806
	etherIP6   = 0x86dd
	etherTag   = 0x8100 // 802.1Q
	etherTags  = 0x88a8 // 802.1ad
	ip4Len     = 20
	ip6Len     = 40
	maxExtHdr  = 8
	maxOptions = 12
	tcpLen     = 20
	icmpLen    = 8
)

// IPv6 extension headers (IANA protocol numbers).
const (
	hopByHop = 0
	routing  = 43
	fragment = 44
	ah       = 51
	destOpts = 60
)

// parse reads a frame. What is going to be cut into segments may say nothing about its length, which is more than it has words for (BIG TCP).
func parse(frame []byte, segments bool) (*packet, parseResult) {
	if len(frame) < etherLen {
		return &packet{}, malformed
	}
	body := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return &packet{}, neighbour
	case etherIP4:
		return parse4(body, segments)
	case etherIP6:
		return parse6(body, segments)
	case etherTag, etherTags:
		return &packet{}, tagged
	}
	return &packet{}, unsupported
}

func parse4(b []byte, segments bool) (*packet, parseResult) {
	p := &packet{}
	if len(b) < ip4Len {
		return p, malformed
	}
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 && segments {
		total = len(b)
	}
	if b[0]>>4 != 4 || header < ip4Len || total < header || total > len(b) {
		return p, malformed
	}
	if !plainOptions(b[ip4Len:header]) {
		return p, malformed
	}
	p.protocol = flow.Protocol(b[9])
	p.fragmentOf = p.protocol
	offset, more := int(binary.BigEndian.Uint16(b[6:])&0x1fff)*8, b[6]&0x20 != 0
	p.noteFragment(offset, more, uint32(binary.BigEndian.Uint16(b[4:])))
	switch {
	case offset > 0 && offset < tcpLen:
		return p, malformed
	case offset == 0:
		p.fragmentAt = p.l4Bytes()
		p.parseL4(b[header:total])
	}
	return p, parsed
}

// plainOptions says whether the options of an IPv4 header are few, can be read, and none of them is a source route.
func plainOptions(options []byte) bool {
	for n := 0; len(options) > 0; n++ {
		if n == maxOptions {
			return false
		}
		if options[0] == 0 {
			break
		}
		size := 1
		if options[0] != 1 {
			if options[0] == 131 || options[0] == 137 || len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
				return false
			}
			size = int(options[1])
		}
		options = options[size:]
	}
	return true
}

func (p *packet) noteFragment(offset int, more bool, id uint32) {
	switch {
	case offset > 0:
		p.fragment, p.fragmentID, p.fragmentAt = laterFragment, id, offset
	case more:
		p.fragment, p.fragmentID = firstFragment, id
	}
}

func parse6(b []byte, segments bool) (*packet, parseResult) {
	p := &packet{}
	if len(b) < ip6Len {
		return p, malformed
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	left := int(binary.BigEndian.Uint16(b[4:]))
	if left == 0 && segments {
		left = len(b) - ip6Len
	}
	if b[0]>>4 != 6 || ip6Len+left > len(b) {
		return p, malformed
	}
	p.payload = left
	rest, ok := p.readChain(b[6], b[ip6Len:ip6Len+left])
	switch {
	case !ok:
		return p, malformed
	case p.fragment == laterFragment:
		return p, parsed
	}
	p.fragmentAt += p.l4Bytes()
	return p, p.parseTransport6(b[7], rest)
}

// readChain walks a chain of headers, the first of which is of kind next, and returns what is behind it: that of a packet, and of one that an
// ICMP error quotes.
func (p *packet) readChain(next byte, rest []byte) ([]byte, bool) {
	for range maxExtHdr {
		size := 8
		p.protocol = flow.Protocol(next)
		switch next {
		case hopByHop, routing, destOpts, ah, fragment:
		default:
			return rest, true
		}
		if len(rest) < 8 {
			return nil, false
		}
		switch next {
		case fragment:
			if p.fragment != noFragment {
				return nil, false // fragments of fragments
			}
			offset := int(binary.BigEndian.Uint16(rest[2:]) & 0xfff8)
			p.noteFragment(offset, rest[3]&1 == 1, binary.BigEndian.Uint32(rest[4:]))
			p.fragmentOf = flow.Protocol(rest[0])
			if offset > 0 {
				p.protocol = p.fragmentOf
				return nil, offset >= tcpLen
			}
		case ah:
			size = (int(rest[1]) + 2) * 4
		default:
			if next == routing && rest[3] != 0 {
				return nil, false // a route that has not ended
			}
			size = (int(rest[1]) + 1) * 8
		}
		if size > len(rest) {
			return nil, false
		}
		if p.fragment == firstFragment && next != fragment {
			p.fragmentAt += size
		}
		next, rest = rest[0], rest[size:]
	}
	return nil, false
}

func (p *packet) parseTransport6(hopLimit byte, rest []byte) parseResult {
	p.parseL4(rest)
	if p.protocol == flow.ICMPv6 && p.fragment == noFragment && len(rest) >= icmpLen && isNeighbour(rest[0], hopLimit) {
		p.discovery = rest
		return neighbour
	}
	return parsed
}

// isOfLink says whether ARP or discovery is what a pod needs on its link. Routers forward discovery like anything else; it is the
// receivers that refuse what came from afar.
func (d *Datapath) isOfLink(p *packet, pod *bpf.Pod, ifindex uint32, dir flow.Direction) bool {
	switch {
	case p.discovery == nil:
		return true
	case dir == flow.Ingress:
		return d.cameFromLink(p, pod, ifindex)
	}
	return d.staysOnLink(p, pod, ifindex)
}

// noProtocol is that of the flows that stand for neighbours, which have no ports.
const noProtocol = 59

// cameFromLink says whether discovery came from the link of the pod, and remembers who looks for neighbours, so is one.
func (d *Datapath) cameFromLink(p *packet, pod *bpf.Pod, ifindex uint32) bool {
	fromLink := p.src.IsUnspecified() || p.src.IsLinkLocalUnicast()
	switch p.discovery[0] {
	case 130, 131, 132, 143: // of any hop limit, once some are taken off
		return fromLink || isLinkScope(p.dst)
	case 135, 136:
		if !fromLink && pod.Instance != 0 {
			d.flows[flowKey{ifindex: ifindex, peer: p.src, protocol: noProtocol}] = &flowState{instance: pod.Instance, seen: d.seconds()}
		}
	}
	return true
}

// staysOnLink says whether discovery that a pod sends reaches its link and nobody beyond.
func (d *Datapath) staysOnLink(p *packet, pod *bpf.Pod, ifindex uint32) bool {
	if !pod.MayRoute && !p.src.IsUnspecified() && !p.src.IsLinkLocalUnicast() && p.src != pod.IP6 {
		return false
	}
	switch kind := p.discovery[0]; kind {
	case 134, 137: // what routers send
		if !pod.MayRoute {
			return false
		}
	case 130, 131, 132: // of a listener, to the group that it is about
		if p.dst.IsMulticast() {
			return true
		}
	case 135, 136: // solicitation and advertisement, to whom is known to be there
		if p.payload <= 32 && d.find(flowKey{ifindex: ifindex, peer: p.dst, protocol: noProtocol}, pod) != nil {
			return true
		}
	}
	return p.dst.IsLinkLocalUnicast() || isLinkScope(p.dst)
}

// isLinkScope says whether an address of IPv6 is that of a group of the link.
func isLinkScope(a netip.Addr) bool { return a.As16()[0] == 0xff && a.As16()[1]&0xf == 2 }

// isNeighbour says whether an ICMPv6 type is neighbour or multicast listener discovery.
func isNeighbour(kind, hopLimit byte) bool {
	switch hopLimit {
	case 255:
		return kind >= 133 && kind <= 137
	case 1:
		return kind >= 130 && kind <= 132 || kind == 143
	}
	return false
}

// l4Bytes is how many bytes a transport header must have to be believed; 0 for protocols that are not looked into.
func (p *packet) l4Bytes() int {
	switch {
	case p.protocol == flow.TCP:
		return tcpLen
	case p.protocol == flow.UDP:
		return 8
	case p.protocol == flow.SCTP:
		return 16
	case p.isICMP():
		return icmpLen
	}
	return 0
}

// parseL4 reads the transport header in b, the payload as the IP header bounds it.
func (p *packet) parseL4(b []byte) {
	if need := p.l4Bytes(); need == 0 || len(b) < need {
		return
	}
	switch p.protocol {
	case flow.TCP:
		p.opens = b[13]&0x12 == 0x02 // SYN without ACK
	case flow.SCTP:
		p.opens = b[12] == 1 // INIT
	case flow.ICMP, flow.ICMPv6:
		p.parseICMP(b)
		return
	}
	p.readPorts(b)
}

func (p *packet) readPorts(b []byte) {
	p.hasPorts = true
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}

// isICMP says whether the protocol is the ICMP of the packet's family.
func (p *packet) isICMP() bool {
	return p.protocol == flow.ICMP && p.src.Is4() || p.protocol == flow.ICMPv6 && p.src.Is6()
}

// parseICMP takes the identifier of an echo for both ports, and notes what an error is about.
func (p *packet) parseICMP(b []byte) {
	request, reply, isError := byte(8), byte(0), b[0] == 3 || b[0] == 11 || b[0] == 12
	if p.protocol == flow.ICMPv6 {
		request, reply, isError = 128, 129, b[0] >= 1 && b[0] <= 4
	}
	switch b[0] {
	case request, reply:
		p.hasPorts, p.opens = true, b[0] == request
		p.srcPort = binary.BigEndian.Uint16(b[4:])
		p.dstPort = p.srcPort
	default:
		if isError {
			p.inner = b[icmpLen:]
		}
	}
}

// parseInner reads the packet that an ICMP error is about, up to the first 8 bytes of its transport header.
func (p *packet) parseInner() (*packet, bool) {
	b, inner := p.inner, &packet{}
	var l4 []byte
	if p.src.Is4() {
		if len(b) < ip4Len || b[0]>>4 != 4 || b[0]&0xf < 5 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return nil, false
		}
		inner.protocol = flow.Protocol(b[9])
		inner.src, inner.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		l4 = b[min(int(b[0]&0xf)*4, len(b)):]
	} else {
		if len(b) < ip6Len || b[0]>>4 != 6 {
			return nil, false
		}
		inner.src, inner.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		var ok bool
		if l4, ok = inner.readChain(b[6], b[ip6Len:]); !ok || inner.fragment == laterFragment {
			return nil, false
		}
	}
	switch {
	case len(l4) < 8:
		return nil, false
	case inner.protocol.HasPorts():
		inner.readPorts(l4)
	case inner.isICMP():
		inner.parseICMP(l4)
	}
	return inner, inner.hasPorts
}
