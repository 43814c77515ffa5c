package live_test

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

const (
	typeIP4   = 0x0800
	typeIP6   = 0x86dd
	typeVLAN  = 0x8100
	typeQinQ  = 0x88a8
	typeLocal = 0x88b5 // for experiments (IEEE 802)
)

// wireCases are the frames and what becomes of them. The numbers are those of the cases that implementations get
// wrong.
func wireCases() []wireCase {
	return slices.Concat(tagCases(), shortCases(), optionCases(), extensionCases(), fragmentCases(), sourceCases(),
		protocolCases(), segmentCases())
}

func syn(v6 bool, port uint16) []byte { return frame.New(between(flow.TCP, v6, port), frame.First) }

// disguised is a frame behind which any source may hide. It leaves no pod that may only send from its own addresses, and is
// judged at the other end where it comes from one that routes.
func disguised(name string, f []byte, leaving, arriving bpf.Reason) []wireCase {
	kept := always(f, leaving)
	return []wireCase{{name, false, []sent{kept}}, {name + ", routed", true, []sent{at(f, arriving)}}}
}

// tagCases: what lies behind a tag is not looked at. A node has no use for tags on a pod's link, and some kernels take the
// first one off before the program sees the packet.
func tagCases() []wireCase {
	four, six := syn(false, 80), syn(true, 80)
	cases := []wireCase{
		{"IPv4 without a tag", false, []sent{at(four, bpf.ReasonPolicy)}},
		{"IPv6 without a tag", false, []sent{at(six, bpf.ReasonPolicy)}},
	}
	for name, f := range map[string][]byte{
		"802.1Q":                          tagged(four, [2]uint16{typeVLAN, 5}),
		"802.1Q before IPv6":              tagged(six, [2]uint16{typeVLAN, 5}),
		"priority without a VLAN":         tagged(four, [2]uint16{typeVLAN, 0}),
		"QinQ":                            tagged(four, [2]uint16{typeQinQ, 7}, [2]uint16{typeVLAN, 5}),
		"802.1Q twice":                    tagged(six, [2]uint16{typeVLAN, 7}, [2]uint16{typeVLAN, 5}),
		"three tags":                      tagged(four, [2]uint16{typeQinQ, 7}, [2]uint16{typeVLAN, 6}, [2]uint16{typeVLAN, 5}),
		"a tag that says IPv6, then IPv4": tagged(ether(typeIP6, packetOf(four)), [2]uint16{typeVLAN, 5}),
		"a tag and ARP behind it":         tagged(ether(0x0806, make([]byte, 28)), [2]uint16{typeVLAN, 5}),
		"a tag and two bytes behind it":   tagged(four, [2]uint16{typeVLAN, 5})[:20],
	} {
		cases = append(cases, disguised(name, f, bpf.ReasonUnsupported, bpf.ReasonUnsupported)...)
	}
	// Whoever reads the address of one family where the other one's header lies reads another address.
	return slices.Concat(cases,
		disguised("IPv4 that says it is IPv6", ether(typeIP6, packetOf(four)), bpf.ReasonSpoofed, bpf.ReasonMalformed),
		disguised("IPv6 that says it is IPv4", ether(typeIP4, packetOf(six)), bpf.ReasonSpoofed, bpf.ReasonMalformed))
}

// shortCases end where a header should go on. A packet whose transport header is cut short is one without ports.
func shortCases() []wireCase {
	cut := func(f []byte, n int) []byte { // in the frame and in the length that the packet says
		f = append([]byte{}, f[:n]...)
		if f[14]>>4 == 4 {
			binary.BigEndian.PutUint16(f[16:], uint16(n-14))
		} else {
			binary.BigEndian.PutUint16(f[18:], uint16(n-14-40))
		}
		return f
	}
	udp := func(v6 bool) []byte { return frame.New(between(flow.UDP, v6, 80), frame.First) }
	malformed := func(f []byte) []sent { return []sent{at(f, bpf.ReasonMalformed)} }
	var cases []wireCase
	for name, f := range map[string][]byte{ // of which nobody can say where they come from
		"nothing behind the Ethernet header of IPv4": syn(false, 80)[:14],
		"nothing behind the Ethernet header of IPv6": syn(true, 80)[:14],
		"half an IPv4 header":                        syn(false, 80)[:14+10],
		"half an IPv6 header":                        syn(true, 80)[:14+20],
		"an IPv4 header but for its last byte":       syn(false, 80)[:14+19],
	} {
		cases = append(cases, disguised(name, f, bpf.ReasonMalformed, bpf.ReasonMalformed)...)
	}
	return append(cases, []wireCase{
		{"nothing behind another Ethernet header", false, []sent{at(ether(typeLocal, nil), bpf.ReasonUnsupported)}},
		{"an LLC frame", false, []sent{at(ether(3, []byte{0x42, 0x42, 3}), bpf.ReasonUnsupported)}},
		{"less than an IPv4 header says", false, malformed(syn(false, 80)[:14+20+19])},
		{"less than an IPv6 header says", false, malformed(syn(true, 80)[:14+40+19])},
		{"TCP without its last byte", false, []sent{at(cut(syn(false, 80), 14+20+19), bpf.ReasonFragment),
			at(cut(syn(true, 80), 14+40+19), bpf.ReasonFragment)}},
		{"TCP without options", false, []sent{at(cut(syn(false, 80), 14+20+20), bpf.ReasonPolicy),
			at(cut(syn(true, 80), 14+40+20), bpf.ReasonPolicy)}},
		{"UDP without its last byte", false, []sent{at(cut(udp(false), 14+20+7), bpf.ReasonFragment),
			at(cut(udp(true), 14+40+7), bpf.ReasonFragment)}},
		{"UDP without data", false, []sent{
			at(cut(udp(false), 14+20+8), bpf.ReasonPolicy), at(cut(udp(true), 14+40+8), bpf.ReasonPolicy)}},
	}...)
}

// optioned puts options into an IPv4 header.
func optioned(f []byte, options ...byte) []byte {
	f = slices.Insert(append([]byte{}, f...), 34, options...)
	f[14] += byte(len(options) / 4)
	binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
	return f
}

func optionCases() []wireCase {
	changed := func(change func(ip []byte)) []byte { f := syn(false, 80); change(f[14:]); return f }
	nothing := append([]byte{94, 40}, make([]byte, 38)...) // as RFC 4727 has for experiments
	return []wireCase{
		{"IPv4 options are walked", false, []sent{at(optioned(syn(false, 80), 1, 1, 1, 0), bpf.ReasonPolicy),
			at(optioned(syn(false, 80), nothing...), bpf.ReasonPolicy), at(optioned(syn(false, 81), nothing...),
				bpf.ReasonNoRule)}},
		{"an IPv4 source route", false, []sent{at(optioned(syn(false, 80), 131, 7, 4, 10, 0, 0, 9, 0), bpf.ReasonMalformed)}},
		{"an IPv4 header of 16 bytes", false, []sent{
			at(changed(func(ip []byte) { ip[0] = 0x44 }), bpf.ReasonMalformed)}},
		{"an IPv4 header longer than the packet", false, []sent{
			at(changed(func(ip []byte) { ip[0] = 0x4f; ip[3] = 59 }), bpf.ReasonMalformed)}},
	}
}

// extended puts extension headers, each with its kind, between an IPv6 header and what follows.
func extended(f []byte, headers ...extension) []byte {
	f = append([]byte{}, f...)
	next, at := 20, 54
	for _, h := range headers {
		b := append([]byte{}, h.bytes...)
		b[0], f[next] = f[next], h.kind
		f = slices.Insert(f, at, b...)
		next, at = at, at+len(b)
	}
	binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	return f
}

type extension struct {
	kind  byte
	bytes []byte
}

var (
	hopByHop = extension{0, []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	routing  = extension{43, []byte{0, 0, 4, 0, 0, 0, 0, 0}}
	options  = extension{60, []byte{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	ah       = extension{51, []byte{0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1}}
	endless  = extension{60, []byte{0, 255, 1, 4, 0, 0, 0, 0}}
)

func extensionCases() []wireCase {
	chains := map[string][]extension{
		"hop-by-hop options": {hopByHop}, "a routing header": {routing}, "destination options": {options},
		"an authentication header": {ah}, "all extension headers": {hopByHop, options, routing, ah, options},
	}
	cases := []wireCase{
		{"an extension header without end", false, []sent{at(extended(syn(true, 80), endless), bpf.ReasonMalformed)}},
		{"more extension headers than anybody uses", false, []sent{
			at(extended(syn(true, 80), slices.Repeat([]extension{options}, 9)...), bpf.ReasonMalformed)}},
		{"half an extension header", false, []sent{
			at(short6(extended(syn(true, 80), options), 4), bpf.ReasonMalformed)}},
	}
	for name, chain := range chains {
		cases = append(cases, wireCase{"behind " + name, false, []sent{
			at(extended(syn(true, 80), chain...), bpf.ReasonPolicy), at(extended(syn(true, 81), chain...),
				bpf.ReasonNoRule)}})
	}
	return cases
}

// short6 keeps a few bytes behind the IPv6 header.
func short6(f []byte, n int) []byte {
	f = f[:54+n]
	binary.BigEndian.PutUint16(f[18:], uint16(n))
	return f
}

// fragmentCases: see case 78. A datagram has a number of its own in each.
func fragmentCases() (cases []wireCase) {
	for _, v6 := range []bool{false, true} {
		family := map[bool]string{false: " of IPv4", true: " of IPv6"}[v6]
		piece := func(f []byte, n int, id uint32, size int) []byte {
			first, second := frame.Fragment(f, id, size)
			return [][]byte{first, second}[n]
		}
		udp, other := frame.New(between(flow.UDP, v6, 80), frame.First), frame.New(between(flow.UDP, v6, 81), frame.First)
		tcp := syn(v6, 80)
		cases = append(cases, []wireCase{
			{"78 both fragments" + family, false, []sent{at(piece(udp, 0, 1, 24), bpf.ReasonPolicy),
				at(piece(udp, 1, 1, 24), bpf.ReasonLaterFragment)}},
			{"78 a later fragment before its first one" + family, false, []sent{
				at(piece(udp, 1, 2, 24), bpf.ReasonFragment),
				at(piece(udp, 0, 2, 24), bpf.ReasonPolicy), at(piece(udp, 1, 2, 24), bpf.ReasonLaterFragment)}},
			{"78 a later fragment alone" + family, false, []sent{at(piece(udp, 1, 3, 24), bpf.ReasonFragment)}},
			{"78 fragments of what no rule allows" + family, false, []sent{at(piece(other, 0, 4, 24), bpf.ReasonNoRule),
				at(piece(other, 1, 4, 24), bpf.ReasonFragment)}},
			{"78 a first fragment too small for TCP" + family, false, []sent{
				at(piece(tcp, 0, 5, 8), bpf.ReasonFragment),
				at(piece(tcp, 1, 5, 8), bpf.ReasonMalformed)}},
			{"78 a later fragment over the ports" + family, false, []sent{at(piece(udp, 0, 6, 24), bpf.ReasonPolicy),
				at(piece(udp, 1, 6, 8), bpf.ReasonMalformed), at(piece(udp, 1, 6, 16), bpf.ReasonMalformed),
				at(piece(udp, 1, 6, 24), bpf.ReasonLaterFragment)}},
		}...)
	}
	behind := extended(frame.New(between(flow.UDP, true, 80), frame.First), options)
	first, second := frame.Fragment(behind, 7, 40)
	return append(cases, wireCase{"78 fragments of what has options behind the fragment header", false, []sent{
		at(first, bpf.ReasonPolicy), at(second, bpf.ReasonLaterFragment)}})
}

// sourceCases: a pod sends from its own addresses, if it is not one that must route. What a router in its place
// sends is judged by its source at the other end.
func sourceCases() []wireCase {
	from := func(src, dst netip.Addr) []byte {
		return frame.New(flow.Tuple{Src: src, Dst: dst, Protocol: flow.TCP, SrcPort: 5000, DstPort: 80}, frame.First)
	}
	mapped4 := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	spoofed := func(f []byte) []sent { return []sent{always(f, bpf.ReasonSpoofed)} }
	stranger := func(f []byte) []sent { return []sent{at(f, bpf.ReasonNoRule)} }
	return []wireCase{
		{"the source of nobody, IPv4", false, spoofed(from(nobody4, server4))},
		{"the source of nobody, IPv6", false, spoofed(from(nobody6, server6))},
		{"the source of the server, IPv4", false, spoofed(from(server4, server4))},
		{"the source of the server, IPv6", false, spoofed(from(server6, server6))},
		{"no source, IPv4", false, spoofed(from(netip.IPv4Unspecified(), server4))},
		{"no source, IPv6", false, spoofed(from(netip.IPv6Unspecified(), server6))},
		{"the source of nobody behind more extension headers than anybody uses", false,
			spoofed(extended(from(nobody6, server6), slices.Repeat([]extension{options}, 9)...))},
		{"the client's IPv4 address in IPv6", false, spoofed(from(mapped4(client4), server6))},
		{"to the server's IPv4 address in IPv6", false, []sent{
			at(from(client6, mapped4(server4)), bpf.ReasonPolicy).leavesFor(bpf.ReasonNoRule)}},
		{"to itself, IPv4", false, []sent{at(from(client4, client4), bpf.ReasonPolicy).leavesFor(bpf.ReasonNoRule)}},
		{"to itself, IPv6", false, []sent{at(from(client6, client6), bpf.ReasonPolicy).leavesFor(bpf.ReasonNoRule)}},
		{"routed from nobody, IPv4", true, stranger(from(nobody4, server4))},
		{"routed from nobody, IPv6", true, stranger(from(nobody6, server6))},
		{"routed from the server itself, IPv4", true, stranger(from(server4, server4))},
		{"routed from the server itself, IPv6", true, stranger(from(server6, server6))},
		{"routed from the client's IPv4 address in IPv6", true, stranger(from(mapped4(client4), server6))},
		{"routed from the client", true, []sent{
			at(from(client4, server4), bpf.ReasonPolicy), at(from(client6, server6), bpf.ReasonPolicy)}},
	}
}

// protocolCases: ARP and the neighbours of IPv6 pass in any case (77); protocols without ports need a rule for
// everything.
func protocolCases() []wireCase {
	raw := func(v6 bool, protocol flow.Protocol) []byte {
		return frame.IP(between(protocol, v6, 0), make([]byte, 40))
	}
	discovery := func(kind, hops byte, dst string) []byte {
		t := between(flow.ICMPv6, true, 0)
		if dst != "" {
			t.Dst = netip.MustParseAddr(dst)
		}
		f := frame.IP(t, append([]byte{kind}, make([]byte, 31)...))
		f[14+7] = hops
		return f
	}
	icmp6 := func(kind, hops byte) []byte { return discovery(kind, hops, "") } // to the server
	whole := func(p flow.Protocol, v6 bool) []byte { return frame.New(between(p, v6, 80), frame.First) }
	return []wireCase{
		{"77 ARP", false, []sent{
			always(ether(0x0806, make([]byte, 28)), bpf.ReasonNeighbour), always(ether(0x0806, nil),
				bpf.ReasonNeighbour)}},
		{"77 neighbours", false, []sent{
			at(icmp6(135, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour), // nobody knows the server to be on the link
			at(icmp6(136, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour),
			always(discovery(133, 255, "ff02::2"), bpf.ReasonNeighbour)}},
		{"77 neighbours, and what only routers say, or nobody to one neighbour", false, []sent{
			at(icmp6(134, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour),
			at(icmp6(137, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour),
			at(icmp6(133, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour),
			at(icmp6(143, 1), bpf.ReasonFragment)}},
		{"77 what a router says", true, []sent{always(discovery(134, 255, "ff02::1"), bpf.ReasonNeighbour),
			at(icmp6(134, 255), bpf.ReasonFragment).arrivesFor(bpf.ReasonNeighbour)}},
		{"77 multicast listeners behind hop-by-hop options", false, []sent{
			always(extended(discovery(143, 1, "ff02::16"), hopByHop), bpf.ReasonNeighbour)}},
		{"77 what was routed is no neighbour", false, []sent{at(icmp6(135, 254), bpf.ReasonFragment)}},
		{"77 ping is policed", false, []sent{
			at(whole(flow.ICMP, false), bpf.ReasonNoRule), at(whole(flow.ICMPv6, true), bpf.ReasonNoRule)}},
		{"79 SCTP is not TCP", false, []sent{
			at(whole(flow.SCTP, false), bpf.ReasonNoRule), at(whole(flow.SCTP, true), bpf.ReasonNoRule)}},
		{"UDP", false, []sent{
			at(whole(flow.UDP, false), bpf.ReasonPolicy), at(whole(flow.UDP, true), bpf.ReasonPolicy)}},
		{"another port", false, []sent{at(syn(false, 81), bpf.ReasonNoRule), at(syn(true, 81), bpf.ReasonNoRule)}},
		{"ESP and GRE", false, []sent{at(raw(false, 50), bpf.ReasonFragment), at(raw(true, 50), bpf.ReasonFragment),
			at(raw(false, 47), bpf.ReasonFragment), at(raw(true, 47), bpf.ReasonFragment)}},
		{"no next header", false, []sent{at(raw(true, 59), bpf.ReasonFragment)}},
	}
}
