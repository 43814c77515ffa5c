package datapath_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// quote is a packet of the pod as an ICMPv6 error carries it: as much of it as fits (RFC 4443).
type quote struct {
	shape6
	known bool // the pod sent another packet of this flow
	size  int  // of what is quoted
	frame int  // of the packet's bytes that the frame carries: what is beyond size is its padding
}

// want walks the quoted chain as that of any packet. An error is about a flow only where the ports, or what takes their place, are
// quoted; nothing else lets it pass, as no rule speaks of routers.
func (q quote) want() bpf.Reason {
	left, fragment := q.size-40, false
	for i, e := range q.chain {
		switch {
		case left < 8, e.size > left, e.kind == routingHeader && e.bytes[3] > 0, e.kind == fragmentHeader && fragment, e.offset() > 0, i == most:
			return bpf.ReasonNoRule
		}
		left -= e.size
		fragment = fragment || e.kind == fragmentHeader && e.bytes[3]&1 == 1
	}
	if left < 8 || !q.known || q.need == 0 {
		return bpf.ReasonNoRule
	}
	return bpf.ReasonRelated
}

// tooBig is what a router answers to the packet.
func (q quote) tooBig(packet []byte) []byte {
	about := slices.Clone(packet[14:])
	if !q.known {
		at := 40
		for _, e := range q.chain {
			at += len(e.bytes)
		}
		if q.protocol == flow.ICMPv6 {
			at += 4
		}
		about[at] ^= 0x40 // a port, or an identifier
	}
	f := frame.IP(flow.Tuple{Src: netip.MustParseAddr("2001:db8::254"), Dst: podIP6, Protocol: flow.ICMPv6},
		append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, about[:q.frame]...))
	binary.BigEndian.PutUint16(f[14+4:], uint16(8+q.size))
	return f
}

// quotes are cut around every edge of the packet, in frames without and with padding.
func (q quote) quotes(yield func(size, frame int) bool) {
	end, edges := 40, []int{40}
	for _, e := range q.chain {
		edges = append(edges, end+8, end+len(e.bytes))
		end += len(e.bytes)
	}
	for _, size := range append(around(append(edges, end+8)...), end+whole) {
		for _, frame := range []int{size, end + whole} {
			if size >= 0 && size <= end+whole && !yield(size, frame) {
				return
			}
		}
	}
}

// TestShapesOfQuotedPackets: an error about a packet that passed belongs to its flow, whatever headers are in between (RFC 4443, 2.4 c and 3.2).
func TestShapesOfQuotedPackets(t *testing.T) {
	g := newGallery(t)
	g.policy(everything)
	all := chains(2)
	for n := most - 1; n <= most+1; n++ {
		for _, e := range extensions() {
			all = append(all, slices.Repeat([]extension{e}, n))
		}
	}
	for _, ends := range []transport{tcp, udp, sctp, ping6, none} {
		for _, chain := range append([][]extension{nil}, all...) {
			s := shape6{chain: chain, transport: ends}
			for _, e := range chain {
				s.payload += len(e.bytes)
			}
			s.payload += whole
			s.length = 40 + s.payload
			sent := s.frame(flow.Egress)
			g.show(flow.Egress, sent, s.want(everything, flow.Egress), s)
			q := quote{shape6: s}
			for q.size, q.frame = range q.quotes {
				for _, q.known = range []bool{false, true} {
					if g.next() {
						g.show(flow.Ingress, q.tooBig(sent), q.want(), q)
					}
				}
			}
		}
	}
	t.Logf("%d packets and errors were shown to kernel and twin", g.shown)
}
