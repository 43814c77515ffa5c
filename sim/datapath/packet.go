package datapath

import (
	"encoding/binary"
	"net/netip"

	"github.com/palisade-netpol/palisade/model/flow"
)

type parseResult uint8

const (
	parsed parseResult = iota
	neighbour
	unsupported
	malformed
)

// packet is what the verdict needs of a frame.
type packet struct {
	src, dst         netip.Addr
	protocol         flow.Protocol
	hasPorts         bool
	opens            bool // can only be the first packet of a flow
	srcPort, dstPort uint16
}

const (
	etherLen  = 14
	etherIP4  = 0x0800
	etherARP  = 0x0806
	etherIP6  = 0x86dd
	ip4Len    = 20
	ip6Len    = 40
	maxExtHdr = 8
)

// IPv6 extension headers (IANA protocol numbers).
const (
	hopByHop = 0
	routing  = 43
	fragment = 44
	ah       = 51
	destOpts = 60
)

func parse(frame []byte) (*packet, parseResult) {
	if len(frame) < etherLen {
		return &packet{}, malformed
	}
	body := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return &packet{}, neighbour
	case etherIP4:
		return parse4(body)
	case etherIP6:
		return parse6(body)
	}
	return &packet{}, unsupported
}

func parse4(b []byte) (*packet, parseResult) {
	p := &packet{}
	if len(b) < ip4Len {
		return p, malformed
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || header < ip4Len || total < header || total > len(b) {
		return p, malformed
	}
	p.protocol = flow.Protocol(b[9])
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if binary.BigEndian.Uint16(b[6:])&0x1fff == 0 {
		p.parseL4(b[header:total])
	}
	return p, parsed
}

func parse6(b []byte) (*packet, parseResult) {
	p := &packet{}
	if len(b) < ip6Len || b[0]>>4 != 6 {
		return p, malformed
	}
	left := int(binary.BigEndian.Uint16(b[4:]))
	if ip6Len+left > len(b) {
		return p, malformed
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, hopLimit, rest := b[6], b[7], b[ip6Len:ip6Len+left]
	for range maxExtHdr {
		size := 8
		switch next {
		case hopByHop, routing, destOpts, ah, fragment:
		default:
			return p, p.parseTransport6(next, hopLimit, rest)
		}
		if len(rest) < 8 {
			return p, malformed
		}
		switch next {
		case fragment:
			if binary.BigEndian.Uint16(rest[2:])&0xfff8 != 0 {
				p.protocol = flow.Protocol(rest[0])
				return p, parsed
			}
		case ah:
			size = (int(rest[1]) + 2) * 4
		default:
			size = (int(rest[1]) + 1) * 8
		}
		if size > len(rest) {
			return p, malformed
		}
		next, rest = rest[0], rest[size:]
	}
	return p, malformed
}

func (p *packet) parseTransport6(next, hopLimit byte, rest []byte) parseResult {
	p.protocol = flow.Protocol(next)
	if p.protocol == flow.ICMPv6 && hopLimit == 255 && len(rest) >= 8 && rest[0] >= 133 && rest[0] <= 137 {
		return neighbour
	}
	p.parseL4(rest)
	return parsed
}

// parseL4 reads the transport header in b, the payload as the IP header bounds it.
func (p *packet) parseL4(b []byte) {
	switch {
	case p.protocol == flow.TCP && len(b) >= 20:
		p.opens = b[13]&0x12 == 0x02 // SYN without ACK
	case p.protocol == flow.UDP && len(b) >= 8:
	case p.protocol == flow.SCTP && len(b) >= 16:
		p.opens = b[12] == 1 // INIT
	case p.protocol == flow.ICMP && len(b) >= 8:
		p.parseEcho(b, 8, 0)
		return
	case p.protocol == flow.ICMPv6 && len(b) >= 8:
		p.parseEcho(b, 128, 129)
		return
	default:
		return
	}
	p.hasPorts = true
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}

// parseEcho takes the identifier of an echo for both ports.
func (p *packet) parseEcho(b []byte, request, reply byte) {
	if b[0] != request && b[0] != reply {
		return
	}
	p.hasPorts, p.opens = true, b[0] == request
	p.srcPort = binary.BigEndian.Uint16(b[4:])
	p.dstPort = p.srcPort
}
