package datapath_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// extension is a header that may stand between the IPv6 header and the transport header.
type extension struct {
	name  string
	kind  byte
	bytes []byte // the first one becomes the kind of what follows
	size  int    // that it says it has; more than it has where it lies
}

const routingHeader, fragmentHeader = 43, 44

// extensions are those of RFC 8200 and RFC 4302, in every form that is read in another way.
func extensions() []extension {
	options := func(name string, kind byte) []extension {
		return []extension{
			{name, kind, []byte{0, 0, 1, 4, 0, 0, 0, 0}, 8},
			{name + " of 16 bytes", kind, []byte{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 16},
		}
	}
	return slices.Concat(options("hop-by-hop", 0), options("destination", 60), []extension{
		{"route that has ended", routingHeader, []byte{0, 0, 4, 0, 0, 0, 0, 0}, 8},
		{"route of 16 bytes that has ended", routingHeader, []byte{0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 16},
		{"route that goes on", routingHeader, []byte{0, 0, 4, 1, 0, 0, 0, 0}, 8},
		{"options without end", 60, []byte{0, 255, 1, 4, 0, 0, 0, 0}, 2048},
		{"authentication of 8 bytes", 51, []byte{0, 0, 0, 0, 0, 0, 0, 7}, 8},
		{"authentication of 12 bytes", 51, []byte{0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1}, 12},
		{"atomic fragment", fragmentHeader, []byte{0, 0, 0, 0, 0, 0, 0, 1}, 8},
		{"first fragment", fragmentHeader, []byte{0, 0, 0, 1, 0, 0, 0, 1}, 8},
		{"tiny fragment", fragmentHeader, []byte{0, 0, 0, 16, 0, 0, 0, 2}, 8},
		{"later fragment", fragmentHeader, []byte{0, 0, 0, 24, 0, 0, 0, 2}, 8}, // of another datagram than the first one
	})
}

// offset is that of a fragment, in bytes.
func (e extension) offset() int {
	if e.kind != fragmentHeader {
		return 0
	}
	return int(binary.BigEndian.Uint16(e.bytes[2:]) & 0xfff8)
}

// shape6 is what decides how an IPv6 packet is read.
type shape6 struct {
	chain []extension
	transport
	payload int // that the IPv6 header announces
	length  int // of what the frame carries behind its Ethernet header
}

// most is how many extension headers are walked before the packet is taken for an attack.
const most = 7

// want walks the chain as RFC 8200 says. A fragment of a fragment has no meaning, and a later fragment that reaches
// into the first 20 bytes is an attack, and a route that goes on leads to where no policy looks. What a pod says to one neighbour is no longer than a solicitation has to be.
func (s shape6) want(policy string, dir flow.Direction) bpf.Reason {
	left, fragment := s.payload, false
	if 40+left > s.length {
		return bpf.ReasonMalformed
	}
	for i, e := range s.chain {
		first := e.kind == fragmentHeader && e.bytes[3]&1 == 1
		switch {
		case left < 8, e.size > left, e.kind == routingHeader && e.bytes[3] > 0, e.kind == fragmentHeader && fragment, e.offset() > 0 && e.offset() < 20:
			return bpf.ReasonMalformed
		case e.offset() > 0:
			// What follows may be any header: only everything allows it, as a protocol of its own.
			return s.allowed(policy, 0)
		case i == most:
			return bpf.ReasonMalformed
		}
		left -= e.size
		fragment = fragment || first
	}
	if s.neighbour && !fragment && left >= s.need && (dir == flow.Ingress || s.payload <= 32) {
		return bpf.ReasonNeighbour
	}
	return s.allowed(policy, left)
}

func (s shape6) frame(dir flow.Direction) []byte {
	f := make([]byte, 14+40, 14+40+s.length)
	f[12], f[13] = 0x86, 0xdd
	ip := f[14:]
	ip[0], ip[7] = 0x60, 255
	binary.BigEndian.PutUint16(ip[4:], uint16(s.payload))
	copy(ip[8:], addresses(dir, podIP6, peerIP6))
	next := 14 + 6 // where the kind of the next header goes
	for _, e := range s.chain {
		f[next], next = e.kind, len(f)
		f = append(f, e.bytes...)
	}
	f[next] = byte(s.protocol)
	f = append(f, s.bytes...)
	return append(f, make([]byte, 16)...)[:14+s.length]
}

// lengths are payload lengths around every edge, and for each the lengths of frames: to the byte, one less, and all
// that there is, so that what is no longer part of the packet lies in its padding.
func (s shape6) lengths(yield func(payload, length int) bool) {
	end, edges := 0, []int{}
	for _, e := range s.chain {
		edges = append(edges, end+8, end+len(e.bytes))
		end += len(e.bytes)
	}
	all := end + whole
	for _, payload := range append(around(append(edges, end+s.need)...), 0, all) {
		for _, length := range []int{payload, payload - 1, all, all + 7} {
			if payload >= 0 && payload <= all && length >= 0 && !yield(payload, 40+length) {
				return
			}
		}
	}
}

// chains are all chains of up to so many extension headers.
func chains(depth int) [][]extension {
	all, last := [][]extension{nil}, [][]extension{nil}
	for range depth {
		var longer [][]extension
		for _, c := range last {
			for _, e := range extensions() {
				longer = append(longer, append(slices.Clip(c), e))
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

// showChain ends a chain in each transport, of which only the ones that are read in another way are of interest
// behind a long one.
func (g *gallery) showChain(chain []extension, policy string, dirs ...flow.Direction) {
	transports := []transport{tcp, udp, ping6, nd, none, sctp, esp, tunnel}
	if len(chain) > 2 {
		transports = transports[:5]
	}
	for _, t := range transports {
		s := shape6{chain: chain, transport: t}
		for s.payload, s.length = range s.lengths {
			for _, dir := range dirs {
				if g.next() {
					g.show(dir, s.frame(dir), s.want(policy, dir), s)
				}
			}
		}
	}
}

// TestShapesOfIPv6 shows every chain of up to three extension headers, around every edge of each of them.
func TestShapesOfIPv6(t *testing.T) {
	g := newGallery(t)
	for _, policy := range []string{somePorts, everything} {
		g.policy(policy)
		for _, chain := range chains(2) {
			g.showChain(chain, policy, flow.Egress, flow.Ingress)
		}
	}
	g.policy(somePorts)
	for _, chain := range chains(3) {
		if len(chain) == 3 {
			g.showChain(chain, somePorts, flow.Ingress)
		}
	}
	for n := most - 1; n <= most+2; n++ {
		for _, e := range extensions() {
			g.showChain(slices.Repeat([]extension{e}, n), somePorts, flow.Egress, flow.Ingress)
		}
	}
	t.Logf("%d of %d packets were shown to kernel and twin", g.shown, g.asked)
}
