package live_test

import (
	"encoding/binary"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// scattered makes a frame so large that the kernel keeps most of it in pages, and hands it out with a header of which
// only so much is to be in one piece: nothing but the Ethernet header, so that programs find no IP header there.
func scattered(f []byte) []byte {
	f = append(append([]byte{}, f...), make([]byte, 8000)...)
	switch binary.BigEndian.Uint16(f[12:]) {
	case typeIP4:
		binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
	case typeIP6:
		binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	}
	return f
}

// withHeader sends a frame with a header of a virtio device (struct virtio_net_hdr).
func withHeader(s sent, flags, kind byte, fields ...uint16) sent {
	s.header = []byte{flags, kind}
	for i := range 4 {
		v := uint16(0)
		if i < len(fields) {
			v = fields[i]
		}
		s.header = binary.NativeEndian.AppendUint16(s.header, v)
	}
	return s
}

// segmentCases are packets that are not in one piece, and packets that are several.
func segmentCases() []wireCase {
	const ethernet = 14
	pieces := func(f []byte, r bpf.Reason) sent { return withHeader(at(scattered(f), r), 0, 0, ethernet) }
	udp := frame.New(between(flow.UDP, false, 80), frame.First)
	first, _ := frame.Fragment(udp, 9, 24)
	return []wireCase{
		{"headers in pages", false, []sent{
			pieces(syn(false, 80), bpf.ReasonPolicy), pieces(syn(true, 80), bpf.ReasonPolicy),
			pieces(syn(false, 81), bpf.ReasonNoRule), pieces(syn(true, 81), bpf.ReasonNoRule), pieces(udp,
				bpf.ReasonPolicy)}},
		{"headers in pages, behind options", false, []sent{
			pieces(optioned(syn(false, 80), append([]byte{94, 40}, make([]byte, 38)...)...), bpf.ReasonPolicy),
			pieces(extended(syn(true, 80), hopByHop, options, ah), bpf.ReasonPolicy),
			pieces(extended(syn(true, 81), hopByHop, options, ah), bpf.ReasonNoRule)}},
		{"a fragment in pages", false, []sent{pieces(first, bpf.ReasonPolicy)}},
		{"a tag in pages", true, []sent{
			pieces(tagged(syn(false, 80), [2]uint16{typeVLAN, 5}), bpf.ReasonUnsupported)}},
		{"many segments of TCP", false, []sent{
			segmented(false, 80, bpf.ReasonPolicy), segmented(true, 80, bpf.ReasonPolicy),
			segmented(false, 81, bpf.ReasonNoRule), segmented(true, 81, bpf.ReasonNoRule)}},
	}
}

// segmented is a TCP packet with data for forty segments of a thousand bytes.
func segmented(v6 bool, port uint16, r bpf.Reason) sent {
	f := frame.New(between(flow.TCP, v6, port), frame.Later)
	l4, kind := 34, byte(1) // VIRTIO_NET_HDR_GSO_TCPV4
	if v6 {
		l4, kind = 54, 4 // VIRTIO_NET_HDR_GSO_TCPV6
	}
	f = append(f[:l4+20], make([]byte, 40_000)...)
	if v6 {
		binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	} else {
		binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
	}
	const needsChecksum, checksumAt = 1, 16
	s := withHeader(at(f, r), needsChecksum, kind, uint16(l4+20), 1000, uint16(l4), checksumAt)
	s.segments = 40
	return s
}
