// Package packets draws packets by the hundred thousand per second, for the programs in the kernel and for their twin in Go:
// of all protocols, whole and in fragments, answers to each other, errors about each other, spoiled ones, and odd ones.
package packets

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
	"github.com/palisade-netpol/palisade/sim/random"
)

// Packet is one packet at a hook. Frame is valid until the next one is drawn.
type Packet struct {
	Direction flow.Direction
	Ifindex   uint32
	FromNode  bool
	// Socketless says that what the node sends comes without a socket.
	Socketless bool
	// GSOSize is the size of the segments that the frame is to be cut into; 0: it goes as it is.
	GSOSize uint32
	Frame   []byte
}

// Source draws packets. The same seed and image give the same ones.
type Source struct {
	rng        *rand.Rand
	pool       [][]byte
	flows      []flow.Tuple
	interfaces []uint32              // of pods, and one of nobody
	at         map[netip.Addr]uint32 // whose address it is
	last       []byte                // of the pool, that an odd one was made of
	// Where packets are put together.
	frame, payload [1024]byte
	ends, header   [32]byte
}

// poolSize is how many packets are made; those that are drawn are copies of them, some of them spoiled.
const poolSize = 1024

// shortest is the shortest frame that the kernel runs a test on where it says that it is IP, with some room for spoiling.
const shortest = 54

var ports = []uint16{1, 53, 79, 80, 81, 255, 256, 443, 8080, 40000, 65535}

// New returns a source of packets between the pods of an image and addresses that random policies speak of.
func New(seed uint64, img *bpf.Image) *Source {
	s := &Source{rng: rand.New(rand.NewPCG(seed, 1)), at: map[netip.Addr]uint32{}}
	unused := uint32(1)
	for _, p := range img.Pods {
		s.interfaces = append(s.interfaces, p.Ifindex)
		s.at[p.IP4], s.at[p.IP6] = p.Ifindex, p.Ifindex
		unused = max(unused, p.Ifindex+1)
	}
	delete(s.at, netip.Addr{})
	s.interfaces = append(s.interfaces, unused)
	v4, v6 := addresses(img)
	for range poolSize {
		s.pool = append(s.pool, s.make(v4, v6))
	}
	return s
}

func addresses(img *bpf.Image) (v4, v6 []netip.Addr) {
	add := func(a netip.Addr) {
		switch {
		case a.Is4():
			v4 = append(v4, a)
		case a.IsValid():
			v6 = append(v6, a)
		}
	}
	for _, p := range img.Pods {
		add(p.IP4)
		add(p.IP6)
	}
	for _, a := range random.Outside() {
		add(a)
	}
	return v4, v6
}

// Next draws a packet. One of three is odd; of the others, one of three is spoiled.
func (s *Source) Next() Packet {
	p := Packet{FromNode: s.oneIn(16), Socketless: s.oneIn(4)}
	spoiled := 3
	if s.oneIn(3) {
		if s.last == nil || s.oneIn(2) { // or several of one flow, or of one datagram
			s.last = pick(s.rng, s.pool)
		}
		p.Frame = s.odd(&p, s.last)
		spoiled = 10
	} else {
		p.Frame = s.frame[:copy(s.frame[:], pick(s.rng, s.pool))]
	}
	s.place(&p)
	if s.oneIn(spoiled) {
		s.spoil(&p)
	}
	return p
}

// place chooses a hook: one at which the packet belongs, or another one, which is the same for all packets between two ends. A flow that is
// known at every interface would push others out of its place in the kernel's table.
func (s *Source) place(p *Packet) {
	src, size := etherLen+12, 4
	if p.Frame[etherLen]>>4 == 6 {
		src, size = etherLen+8, 16
	}
	p.Direction = flow.Direction(s.rng.IntN(2))
	p.Ifindex = s.interfaces[int(p.Frame[src+size-1]^p.Frame[src+2*size-1])%len(s.interfaces)]
	if s.oneIn(12) {
		return
	}
	for range 2 {
		addr, _ := netip.AddrFromSlice(p.Frame[src+size*int(p.Direction):][:size])
		if ifindex, ok := s.at[addr]; ok {
			p.Ifindex = ifindex
			return
		}
		p.Direction = p.Direction.Opposite()
	}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// behindOptions puts destination options of so many bytes between the IPv6 header and what follows.
func behindOptions(f []byte, size int) []byte {
	options := make([]byte, size)
	options[0], options[1], options[2], options[3] = f[14+6], byte(size/8-1), 1, byte(size-4)
	f = slices.Insert(f, 14+40, options...)
	f[14+6] = 60
	binary.BigEndian.PutUint16(f[14+4:], uint16(len(f)-14-40))
	return f
}

// make makes a packet of a flow, of its answer, a fragment, an error about one of these, or of discovery.
func (s *Source) make(v4, v6 []netip.Addr) []byte {
	if s.rng.IntN(24) == 0 {
		return s.discovery(v6)
	}
	addrs, echo := v4, flow.ICMP
	if s.rng.IntN(2) == 0 {
		addrs, echo = v6, flow.ICMPv6
	}
	t := flow.Tuple{
		Src: pick(s.rng, addrs), Dst: pick(s.rng, addrs), SrcPort: pick(s.rng, ports), DstPort: pick(s.rng, ports),
		Protocol: pick(s.rng, []flow.Protocol{flow.TCP, flow.TCP, flow.UDP, flow.SCTP, echo, 50}),
	}
	if len(s.flows) > 0 && !s.oneIn(4) { // of one that others are of
		t = pick(s.rng, s.flows)
		if s.oneIn(2) {
			t = t.Reply()
		}
	} else {
		s.flows = append(s.flows, t)
	}
	f := frame.New(t, frame.Kind(s.rng.IntN(3)))
	cuts := []int{8, 24}
	if f[14]>>4 == 6 && s.rng.IntN(4) == 0 {
		size := pick(s.rng, []int{8, 16, 64})
		f, cuts = behindOptions(f, size), append(cuts, size, size+8, size+24)
	}
	id, size := 1+s.rng.Uint32N(2), pick(s.rng, cuts)
	switch s.rng.IntN(10) {
	case 0:
		f, _ = frame.Fragment(f, id, size)
	case 1:
		_, f = frame.Fragment(f, id, size)
	}
	if s.rng.IntN(10) == 0 {
		by := v4
		if t.Src.Is6() {
			by = v6
		}
		f = frame.Error(f, pick(s.rng, by))
	}
	return f
}

// linkAddrs are what neighbours use besides their addresses.
var linkAddrs = []netip.Addr{
	netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::1:ff00:1"),
	netip.MustParseAddr("ff05::2"),
}

// discovery makes a packet of neighbour or multicast listener discovery.
func (s *Source) discovery(v6 []netip.Addr) []byte {
	message := make([]byte, pick(s.rng, []int{8, 24, 32, 33, 40}))
	message[0] = pick(s.rng, []byte{130, 132, 133, 134, 135, 135, 136, 136, 137, 143})
	addrs := append(slices.Clone(linkAddrs), v6...)
	f := frame.IP(flow.Tuple{Src: pick(s.rng, addrs), Dst: pick(s.rng, addrs), Protocol: flow.ICMPv6}, message)
	f[14+7] = pick(s.rng, []byte{255, 255, 255, 1, 1, 64})
	return f
}

// spoil changes bytes from the Ethernet type on, and now and then cuts the packet short.
func (s *Source) spoil(p *Packet) {
	for range 1 + s.rng.IntN(3) {
		p.Frame[12+s.rng.IntN(min(len(p.Frame), 76)-12)] = byte(s.rng.Uint32())
	}
	if s.rng.IntN(8) == 0 && len(p.Frame) > shortest {
		p.Frame = p.Frame[:shortest+s.rng.IntN(len(p.Frame)-shortest)]
	}
}

// AtEveryHook yields a frame at both hooks of the interfaces from 1 on, from a pod's node and from elsewhere.
func AtEveryHook(frame []byte, interfaces uint32) iter.Seq[Packet] {
	return func(yield func(Packet) bool) {
		for ifindex := uint32(1); ifindex <= interfaces; ifindex++ {
			for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
				for _, fromNode := range []bool{false, true} {
					if !yield(Packet{Direction: dir, Ifindex: ifindex, FromNode: fromNode, Frame: frame}) {
						return
					}
				}
			}
		}
	}
}
