package packets

import (
	"encoding/binary"
	"net/netip"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Addresses that are nobody's, or everybody's.
var (
	special4 = addrs("127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "169.254.1.1")
	special6 = addrs("::", "::1", "ff02::1", "ff0e::1", "fe80::1", "fe80::2", "::ffff:10.1.0.200", "::ffff:192.0.2.7")
)

func addrs(list ...string) (all [][]byte) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a).AsSlice())
	}
	return all
}

// IPv6 extension headers, each with room for the kind of what follows, as senders of good will and others write them.
var (
	hopByHop = [][]byte{
		{0, 0, 1, 4, 0, 0, 0, 0},
		{0, 0, 5, 2, 0, 0, 1, 0},       // router alert
		{0, 0, 0xc2, 4, 0, 1, 0, 0x20}, // jumbo
		{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	destination = [][]byte{
		{0, 0, 1, 4, 0, 0, 0, 0},
		{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0, 2, 0xc9, 16, 0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0}, // home address
	}
	authentication = [][]byte{
		{0, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0},
		{0, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1}, // of 12 bytes, where IPv6 wants a multiple of 8
		{0, 0, 0, 0, 0, 0, 0, 7},
	}
	options4 = [][]byte{
		{1}, {1}, {0}, {148, 4, 0, 0}, // router alert
		{68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0},                                                                         // timestamp
		{131, 7, 4, 10, 1, 0, 200}, {131, 7, 8, 10, 1, 0, 200}, {137, 7, 4, 10, 1, 0, 200}, {137, 7, 8, 10, 1, 0, 200}, // source routes
		{7, 7, 4, 0, 0, 0, 0}, {148, 0}, {131, 1}, {68, 255}, {137, 2}, {30, 40},
	}
)

// offsets are where fragments begin, in units of 8 bytes: tiny ones, ones that overlap, and the last there is.
var offsets = []uint16{0, 0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 185, 8191}

func (s *Source) oneIn(n int) bool { return s.rng.IntN(n) == 0 }

// odd makes of a packet that was made one that says the same in an unusual way, or something that nobody should say.
func (s *Source) odd(p *Packet, made []byte) []byte {
	v6 := made[etherLen]>>4 == 6
	protocol, at, from := made[etherLen+9], etherLen+20, etherLen+12
	if v6 {
		protocol, at, from = made[etherLen+6], etherLen+40, etherLen+8
	}
	ends := append(s.ends[:0], made[from:at]...)
	s.misplace(ends, v6)
	payload := append(s.payload[:0], made[at:]...)
	payload = s.transport(flow.Protocol(protocol), payload)
	f := s.ip(s.frame[:0], ends, protocol, payload, true)
	if s.oneIn(6) {
		f = s.complain(f, v6)
	}
	if s.oneIn(16) {
		p.GSOSize = 1400
		if s.oneIn(2) {
			setLength(f, 0)
		}
	} else if s.oneIn(24) {
		setLength(f, pick(s.rng, []int{0, 1, 20, 40, len(f) - 15, len(f), 65535}))
	}
	if s.oneIn(48) {
		f = append(f, 0, 0, 0, 0)
		copy(f[16:], f[12:len(f)-4])
		copy(f[12:], pick(s.rng, [][]byte{{0x81, 0, 0, 1}, {0x88, 0xa8, 0, 1}}))
	}
	for len(f) < shortest {
		f = append(f, 0)
	}
	return f
}

const etherLen = 14

// setLength makes a frame say so many bytes of its IP packet.
func setLength(f []byte, n int) {
	if f[etherLen]>>4 == 6 {
		binary.BigEndian.PutUint16(f[etherLen+4:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(f[etherLen+2:], uint16(n))
	}
}

// misplace puts special addresses in the place of one or both ends.
func (s *Source) misplace(ends []byte, v6 bool) {
	special, half := special4, len(ends)/2
	if v6 {
		special = special6
	}
	if s.oneIn(8) {
		copy(ends, pick(s.rng, special))
	}
	if s.oneIn(6) {
		copy(ends[half:], pick(s.rng, special))
	}
}

// transport changes what a transport header says.
func (s *Source) transport(protocol flow.Protocol, b []byte) []byte {
	if len(b) < 16 {
		return b
	}
	switch protocol {
	case flow.TCP:
		if s.oneIn(2) {
			b[13] = byte(s.rng.Uint32())
		}
	case flow.SCTP:
		b[12] = pick(s.rng, []byte{0, 1, 2, 3, 6, 7, 10, 11, 14, 255})
	case flow.ICMP:
		if s.oneIn(4) {
			b[0] = pick(s.rng, []byte{3, 4, 5, 9, 11, 12, 13, 17})
		}
	case flow.ICMPv6:
		if s.oneIn(4) {
			b[0] = pick(s.rng, []byte{1, 2, 3, 4, 130, 134, 135, 137, 143})
		}
	}
	if protocol.HasPorts() && s.oneIn(8) {
		copy(b[2*s.rng.IntN(2):], []byte{0, 0})
	}
	if s.oneIn(10) {
		b = b[:s.rng.IntN(min(len(b), 25))]
	}
	return b
}

// ip appends a frame of a packet between two ends; an odd one with options, extension headers, or as a fragment.
func (s *Source) ip(f, ends []byte, protocol byte, payload []byte, odd bool) []byte {
	f = append(f, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2)
	if len(ends) == 32 {
		f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, pick(s.rng, []byte{64, 64, 255, 1}))
		f = append(f, ends...)
		if odd {
			f = s.chain(f, protocol)
		}
		f = append(f, payload...)
		setLength(f, len(f)-etherLen-40)
		return f
	}
	f = append(f, 0x08, 0x00, 0x45, 0, 0, 0, 0, byte(1+s.rng.IntN(2)), 0, 0, 64, protocol, 0, 0)
	f = append(f, ends...)
	if odd && s.oneIn(2) {
		f = s.options(f)
	}
	if odd && s.oneIn(3) {
		at := pick(s.rng, offsets)
		binary.BigEndian.PutUint16(f[etherLen+6:], at|uint16(s.rng.IntN(2))<<13)
		payload = s.part(payload, int(at)*8)
	}
	f = append(f, payload...)
	setLength(f, len(f)-etherLen)
	return f
}

// part is what a fragment from an offset on holds of a payload: often very little.
func (s *Source) part(payload []byte, at int) []byte {
	payload = payload[min(at, len(payload)/2):]
	if s.oneIn(2) {
		return payload
	}
	return payload[:min(len(payload), pick(s.rng, []int{0, 8, 16, 24}))]
}

// options appends options of IPv4, and makes the header as long.
func (s *Source) options(f []byte) []byte {
	begin := len(f)
	for n := 1 + s.rng.IntN(5); n > 0; n-- {
		f = append(f, pick(s.rng, options4)...)
	}
	for fill := byte(s.rng.IntN(2)); (len(f)-begin)%4 > 0; {
		f = append(f, fill)
	}
	f = f[:min(len(f), begin+40)]
	f[etherLen] = 0x45 + byte((len(f)-begin)/4)
	return f
}

// chain appends extension headers of IPv6.
func (s *Source) chain(f []byte, protocol byte) []byte {
	n := s.rng.IntN(4)
	if s.oneIn(2) {
		n = s.rng.IntN(10)
	}
	next := etherLen + 6
	for range n {
		kind, header := s.extension()
		f[next], next = kind, len(f)
		f = append(f, header...)
		if kind != 44 && s.oneIn(48) { // a length that is wrong
			f[next+1] = byte(s.rng.Uint32())
		}
	}
	f[next] = protocol
	if s.oneIn(24) {
		f[next] = pick(s.rng, []byte{59, 59, 50, 135, 139, 140, 253}) // no next header, ESP, and ones that are not walked
	}
	return f
}

// extension draws an extension header; it is good until the next one is drawn.
func (s *Source) extension() (kind byte, header []byte) {
	h := s.header[:24]
	clear(h)
	switch s.rng.IntN(9) {
	case 0, 1:
		return 0, pick(s.rng, hopByHop)
	case 2, 3, 4:
		return 60, pick(s.rng, destination)
	case 5, 6:
		h[1], h[2], h[3] = 2, pick(s.rng, []byte{0, 2, 4}), pick(s.rng, []byte{0, 0, 1, 2, 255})
		copy(h[8:], special6[6])
		return 43, h
	case 7:
		return 51, pick(s.rng, authentication)
	}
	if !s.oneIn(3) { // else an atomic one
		binary.BigEndian.PutUint16(h[2:], pick(s.rng, offsets)<<3|uint16(s.rng.IntN(2)))
	}
	h[7] = byte(1 + s.rng.IntN(2))
	return 44, h[:8]
}

// complain makes an ICMP error about a frame of it, mostly to its sender.
func (s *Source) complain(f []byte, v6 bool) []byte {
	protocol, kinds, at, size := byte(flow.ICMP), []byte{3, 3, 11, 12, 4, 5}, etherLen+12, 4
	if v6 {
		protocol, kinds, at, size = byte(flow.ICMPv6), []byte{1, 2, 3, 4, 100}, etherLen+8, 16
	}
	quoted := f[etherLen:]
	if s.oneIn(4) {
		quoted = quoted[:s.rng.IntN(len(quoted))]
	}
	message := append(s.payload[:0], pick(s.rng, kinds), 0, 0, 0, 0, 0, 0, 0)
	message = append(message, quoted...)
	ends := append(s.ends[:0], f[at+size:at+2*size]...) // from whom it was for, to whom it was from
	ends = append(ends, f[at:at+size]...)
	if s.oneIn(16) {
		s.misplace(ends, v6)
	}
	return s.ip(s.frame[:0], ends, protocol, message, s.oneIn(8))
}
