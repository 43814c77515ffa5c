// Package frame builds the Ethernet frames that engines and tests send: the first packets of connections, and answers
// to them. Checksums are left zero, since nothing that judges frames reads them.
package frame

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Kind is the place of a packet in its flow.
type Kind uint8

// The kinds. For UDP all are alike.
const (
	First  Kind = iota // TCP SYN, SCTP INIT, ICMP echo request
	Answer             // TCP SYN-ACK, SCTP INIT ACK, ICMP echo reply
	Later              // TCP ACK, SCTP DATA
)

// Header sizes in bytes.
const (
	etherLen = 14
	ip4Len   = 20
	ip6Len   = 40
)

// New returns a frame of the flow t. For ICMP and ICMPv6, SrcPort is the echo identifier.
func New(t flow.Tuple, k Kind) []byte {
	return IP(t, transport(t, k))
}

// IP wraps a transport payload into Ethernet and IP headers with the addresses and protocol of t.
func IP(t flow.Tuple, payload []byte) []byte {
	if t.Src.Is4() != t.Dst.Is4() {
		panic(fmt.Sprintf("frame from %s to %s: two families", t.Src, t.Dst))
	}
	if t.Src.Is4() {
		return ip4(t, payload)
	}
	return ip6(t, payload)
}

func ether(size int, proto uint16) []byte {
	b := make([]byte, etherLen+size)
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2})
	binary.BigEndian.PutUint16(b[12:], proto)
	return b
}

func ip4(t flow.Tuple, payload []byte) []byte {
	b := ether(ip4Len+len(payload), 0x0800)
	h := b[etherLen:]
	h[0], h[8], h[9] = 0x45, 64, byte(t.Protocol)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	copy(h[12:], t.Src.AsSlice())
	copy(h[16:], t.Dst.AsSlice())
	copy(h[ip4Len:], payload)
	return b
}

func ip6(t flow.Tuple, payload []byte) []byte {
	b := ether(ip6Len+len(payload), 0x86dd)
	h := b[etherLen:]
	h[0], h[6], h[7] = 0x60, byte(t.Protocol), 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	copy(h[8:], t.Src.AsSlice())
	copy(h[24:], t.Dst.AsSlice())
	copy(h[ip6Len:], payload)
	return b
}

func transport(t flow.Tuple, k Kind) []byte {
	b := make([]byte, 40) // the largest header, and some payload
	binary.BigEndian.PutUint16(b, t.SrcPort)
	binary.BigEndian.PutUint16(b[2:], t.DstPort)
	switch t.Protocol {
	case flow.TCP:
		b[12], b[13] = 5<<4, [...]byte{First: 0x02, Answer: 0x12, Later: 0x10}[k]
	case flow.UDP:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	case flow.SCTP:
		b[12] = [...]byte{First: 1, Answer: 2, Later: 0}[k]
	case flow.ICMP:
		return echo(t, [...]byte{First: 8, Answer: 0, Later: 0}[k])
	case flow.ICMPv6:
		return echo(t, [...]byte{First: 128, Answer: 129, Later: 129}[k])
	}
	return b
}

func echo(t flow.Tuple, kind byte) []byte {
	b := make([]byte, 40)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], t.SrcPort)
	return b
}

// Fragment cuts the IP packet of a frame made by New or IP after size bytes of its payload, a multiple of 8, and returns
// the first and the second fragment.
func Fragment(f []byte, id uint32, size int) (first, second []byte) {
	if f[etherLen]>>4 == 4 {
		return fragment4(f, uint16(id), size)
	}
	return fragment6(f, id, size)
}

func fragment4(f []byte, id uint16, size int) (first, second []byte) {
	cut := func(payload []byte, offset uint16) []byte {
		b := append(append([]byte{}, f[:etherLen+ip4Len]...), payload...)
		h := b[etherLen:]
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
		binary.BigEndian.PutUint16(h[4:], id)
		binary.BigEndian.PutUint16(h[6:], offset)
		return b
	}
	payload := f[etherLen+ip4Len:]
	const more = 0x2000
	return cut(payload[:size], more), cut(payload[size:], uint16(size/8))
}

func fragment6(f []byte, id uint32, size int) (first, second []byte) {
	cut := func(payload []byte, offset uint16) []byte {
		ext := make([]byte, 8)
		ext[0] = f[etherLen+6]
		binary.BigEndian.PutUint16(ext[2:], offset)
		binary.BigEndian.PutUint32(ext[4:], id)
		b := append(append(append([]byte{}, f[:etherLen+ip6Len]...), ext...), payload...)
		h := b[etherLen:]
		h[6] = 44
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)-ip6Len))
		return b
	}
	payload := f[etherLen+ip6Len:]
	const more = 1
	return cut(payload[:size], more), cut(payload[size:], uint16(size))
}

// Error returns an ICMP error — fragmentation needed, or packet too big — that src sends to the source of a frame about it.
// It quotes what every sender has to: of IPv4 the header and 8 bytes (RFC 792), of IPv6 as much as fits into 1,280 bytes (RFC 4443).
func Error(about []byte, src netip.Addr) []byte {
	packet := about[etherLen:]
	quoted, proto, kind, code, sender := ip4Len+8, flow.ICMP, byte(3), byte(4), packet[12:16]
	if packet[0]>>4 == 6 {
		quoted, proto, kind, code, sender = 1280-ip6Len-8, flow.ICMPv6, 2, 0, packet[8:24]
	}
	payload := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, packet[:min(quoted, len(packet))]...)
	dst, _ := netip.AddrFromSlice(sender)
	return IP(flow.Tuple{Src: src, Dst: dst, Protocol: proto}, payload)
}
