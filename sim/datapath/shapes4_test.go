package datapath_test

import (
	"encoding/binary"
	"iter"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// shape4 is what decides how an IPv4 packet is read.
type shape4 struct {
	version, ihl, total int
	transport
	fragment uint16 // flags and offset, as they stand in the header
	length   int    // of what the frame carries behind its Ethernet header
}

const (
	dontFragment  = 0x4000
	moreFragments = 0x2000
)

// want follows RFC 791: the header must be whole, and the packet must be in the frame. A later fragment has no
// ports; one that reaches into the first 20 bytes is an attack (RFC 3128).
func (s shape4) want(policy string) bpf.Reason {
	offset := int(s.fragment&0x1fff) * 8
	switch {
	case s.version != 4, s.ihl < 5, s.total < s.ihl*4, s.total > s.length, offset > 0 && offset < 20:
		return bpf.ReasonMalformed
	case offset > 0:
		return s.allowed(policy, 0)
	}
	return s.allowed(policy, s.total-s.ihl*4)
}

// frame has options that do nothing, and the transport header where the header length says.
func (s shape4) frame(dir flow.Direction) []byte {
	f := make([]byte, 14+20, 14+60+whole+64)
	f[12], f[13] = 0x08, 0x00
	ip := f[14:]
	ip[0], ip[8], ip[9] = byte(s.version<<4|s.ihl), 64, byte(s.protocol)
	binary.BigEndian.PutUint16(ip[2:], uint16(s.total))
	// No later fragment finds the first one of its datagram.
	binary.BigEndian.PutUint16(ip[4:], 1+min(s.fragment&0x1fff, 1))
	binary.BigEndian.PutUint16(ip[6:], s.fragment)
	copy(ip[12:], addresses(dir, podIP, peerIP))
	for i := range s.ihl - 5 { // one for experiments (RFC 4727), as long as there is room
		f = append(f, 0, 0, 0, 0)
		f[14+20], f[14+21] = 94, byte(4*(i+1))
	}
	f = append(f, s.bytes...)
	return append(f, make([]byte, 64)...)[:14+s.length]
}

// around are the numbers at which something may change, and those beside them.
func around(edges ...int) []int {
	var list []int
	for _, e := range edges {
		list = append(list, e-1, e, e+1)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// lengths are total lengths around every edge, and for each the lengths of frames around it. The kernel runs no test
// on an IP packet without an IP header.
func (s shape4) lengths(yield func(total, length int) bool) {
	for _, total := range append(around(0, 20, s.ihl*4, s.ihl*4+8, s.ihl*4+16, s.ihl*4+20), s.ihl*4+whole, 0xffff) {
		for _, length := range []int{total - 1, total, total + 7, 20, s.ihl*4 + 20} {
			if total >= 0 && length >= 20 && length <= 60+whole+8 && !yield(total, length) {
				return
			}
		}
	}
}

// versions are the right one, and where all else is in order also others.
func versions(ihl int) iter.Seq[int] {
	if ihl == 5 {
		return slices.Values([]int{0, 4, 5, 6, 15})
	}
	return slices.Values([]int{4})
}

func shapes4(yield func(shape4) bool) {
	fragments := []uint16{0, dontFragment, moreFragments, 1, 2, 3, moreFragments | 1, moreFragments | 2, moreFragments | 3, 0x1fff}
	for ihl := range 16 {
		for _, t := range []transport{tcp, udp, sctp, ping4, esp, nd, tunnel} {
			for _, fragment := range fragments {
				for version := range versions(ihl) {
					s := shape4{version: version, ihl: ihl, transport: t, fragment: fragment}
					for s.total, s.length = range s.lengths {
						if !yield(s) {
							return
						}
					}
				}
			}
		}
	}
}

// TestShapesOfIPv4 shows packets of every header length, around every edge of the total length and of the frame, in
// whole and in fragments.
func TestShapesOfIPv4(t *testing.T) {
	g := newGallery(t)
	for _, policy := range []string{somePorts, everything} {
		g.policy(policy)
		for s := range shapes4 {
			for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
				if g.next() {
					g.show(dir, s.frame(dir), s.want(policy), s)
				}
			}
		}
	}
	t.Logf("%d of %d packets were shown to kernel and twin", g.shown, g.asked)
}
