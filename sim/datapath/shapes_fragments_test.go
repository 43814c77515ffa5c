package datapath_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// datagram is one that was cut; of IPv6, with headers before the fragment header and behind it, which the first fragment has (RFC 8200, 4.5).
type datagram struct {
	v4             bool
	before, behind []extension
	transport
}

// end is where the transport header ends in what was cut. Options of IPv4 are in every fragment.
func (d datagram) end() int {
	end := d.need
	for _, e := range d.behind {
		end += len(e.bytes)
	}
	return end
}

// piece is the fragment at an offset. Its first bytes are those of whatever follows the fragment header.
func (d datagram) piece(dir flow.Direction, id uint32, offset int, more byte) []byte {
	if d.v4 {
		s := shape4{version: 4, ihl: 5 + len(d.before), transport: d.transport, fragment: uint16(offset/8) | uint16(more)<<13}
		s.total = 4*s.ihl + whole
		s.length = s.total
		f := s.frame(dir)
		binary.BigEndian.PutUint16(f[14+4:], uint16(id))
		return f
	}
	h := extension{"fragment", fragmentHeader, make([]byte, 8), 8}
	binary.BigEndian.PutUint16(h.bytes[2:], uint16(offset)|uint16(more))
	binary.BigEndian.PutUint32(h.bytes[4:], id)
	s := shape6{chain: slices.Concat(d.before, []extension{h}, d.behind), transport: d.transport}
	for _, e := range s.chain {
		s.payload += len(e.bytes)
	}
	s.payload += whole
	s.length = 40 + s.payload
	return s.frame(dir)
}

// later is why a later fragment passes, or does not, after what passed before: one that overlaps the headers could forge them, and that of
// others is nothing for the receiver to see to (RFC 5722, RFC 3128).
func later(offset, end int) bpf.Reason {
	switch {
	case offset < 20:
		return bpf.ReasonMalformed
	case offset < end:
		return bpf.ReasonFragment
	}
	return bpf.ReasonLaterFragment
}

// options are destination options of so many units of 8 bytes.
func options(units int) extension {
	return extension{"options", 60, append([]byte{0, byte(units - 1)}, make([]byte, 8*units-2)...), 8 * units}
}

// datagrams have options of every size, and in up to two headers.
func datagrams() []datagram {
	var all []datagram
	behind := [][]extension{nil}
	for _, units := range []int{1, 2, 3, 8, 150, 256} {
		behind = append(behind, []extension{options(units)}, []extension{options(1), options(units)})
	}
	auth := extension{"authentication of 12 bytes", 51, []byte{0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1}, 12}
	behind = append(behind, []extension{auth}, []extension{options(8), auth}, slices.Repeat([]extension{options(50)}, most-1))
	for _, t := range []transport{tcp, udp} {
		for words := range 11 {
			all = append(all, datagram{v4: true, before: make([]extension, words), transport: t})
		}
		for _, chain := range behind {
			all = append(all, datagram{behind: chain, transport: t})
			if len(chain) < most-1 {
				all = append(all, datagram{before: []extension{options(8)}, behind: chain, transport: t})
			}
		}
	}
	return all
}

// TestShapesOfFragments shows a first fragment, and later ones that begin everywhere around the end of its transport header.
func TestShapesOfFragments(t *testing.T) {
	g := newGallery(t)
	g.policy(somePorts)
	id := uint32(0)
	for _, d := range datagrams() {
		for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
			id++
			g.show(dir, d.piece(dir, id, 0, 1), bpf.ReasonPolicy, d)
			for offset := 8; offset < d.end()+24; offset += 8 {
				if g.next() {
					g.show(dir, d.piece(dir, id, offset, byte(g.asked/g.stride%2)), later(offset, d.end()), d)
				}
			}
			g.show(dir, d.piece(dir, id, 0xfff8, 0), bpf.ReasonLaterFragment, d)
		}
	}
	t.Logf("%d fragments were shown to kernel and twin", g.shown)
}

// TestFragmentsOfTwoFirstOnes: it is up to the receiver which of two first fragments counts, so none of the headers of either may be overlapped.
func TestFragmentsOfTwoFirstOnes(t *testing.T) {
	g := newGallery(t)
	g.policy(somePorts)
	short, long := datagram{behind: []extension{options(1)}, transport: udp}, datagram{behind: []extension{options(8)}, transport: udp}
	for id, order := range [][]datagram{{short, long}, {long, short}} {
		for _, d := range order {
			g.show(flow.Ingress, d.piece(flow.Ingress, uint32(id), 0, 1), bpf.ReasonPolicy, d)
		}
		for offset := 24; offset < 96; offset += 8 {
			g.show(flow.Ingress, short.piece(flow.Ingress, uint32(id), offset, 1), later(offset, long.end()), offset)
		}
	}
	g.policy(everything)
	g.policy(somePorts) // another epoch, for which only what passes now counts
	g.show(flow.Ingress, short.piece(flow.Ingress, 0, 0, 1), bpf.ReasonPolicy, short)
	g.show(flow.Ingress, short.piece(flow.Ingress, 0, 24, 1), bpf.ReasonLaterFragment, short)
}

// TestFragmentsOfAHeaderThatIsCut: where all ports of a protocol are allowed, a first fragment passes without them, and none that would complete them.
func TestFragmentsOfAHeaderThatIsCut(t *testing.T) {
	g := newGallery(t)
	i := img(somePorts, somePorts)
	i.Rows[1].Ports[1] = bpf.PortsFirst<<bpf.PortsTCPShift | bpf.PortsEvery<<bpf.PortsUDPShift
	g.load(i)
	cut := datagram{transport: udp, behind: []extension{options(8)}}
	first := cut.piece(flow.Ingress, 1, 0, 1)
	first = first[:len(first)-whole]
	binary.BigEndian.PutUint16(first[14+4:], uint16(len(first)-14-40))
	g.show(flow.Ingress, first, bpf.ReasonPolicy, cut)
	g.show(flow.Ingress, cut.piece(flow.Ingress, 1, 64, 1), bpf.ReasonFragment, cut)
	g.show(flow.Ingress, cut.piece(flow.Ingress, 1, 72, 1), bpf.ReasonLaterFragment, cut)
}
