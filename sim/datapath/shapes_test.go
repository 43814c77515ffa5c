package datapath_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
)

// The shapes are shown to an isolated pod under each of these policies, the peer's packets at both hooks.
const (
	somePorts  = "peer:80" // TCP and UDP on port 80
	everything = "peer:*"  // every port and protocol
)

// transport is a protocol, how many bytes its header must have to be believed, and the header of a packet for port
// 80. What it is besides comes from the RFC of each.
type transport struct {
	protocol  flow.Protocol
	need      int // 0: it has nothing that takes the place of ports
	bytes     []byte
	neighbour bool
}

// whole is as long as the longest header and some payload.
const whole = 24

func header(port uint16, rest ...byte) []byte {
	b := make([]byte, whole)
	binary.BigEndian.PutUint16(b, 5000)
	binary.BigEndian.PutUint16(b[2:], port)
	copy(b[4:], rest)
	return b
}

var (
	tcp = transport{protocol: flow.TCP, need: 20, bytes: header(80, 0, 0, 0, 0, 0, 0, 0, 0, 5<<4, 0x02)}
	udp = transport{protocol: flow.UDP, need: 8, bytes: header(80)}
	// No rule speaks of these: a whole header of theirs is no rule's, and one cut short might be anything.
	sctp   = transport{protocol: flow.SCTP, need: 16, bytes: header(80, 0, 0, 0, 0, 0, 0, 0, 0, 1)}
	ping4  = transport{protocol: flow.ICMP, need: 8, bytes: append([]byte{8, 0, 0, 0, 0, 7}, make([]byte, whole-6)...)}
	ping6  = transport{protocol: flow.ICMPv6, need: 8, bytes: append([]byte{128, 0, 0, 0, 0, 7}, make([]byte, whole-6)...)}
	esp    = transport{protocol: 50, bytes: header(80)}
	none   = transport{protocol: 59, bytes: header(80)} // "no next header"
	tunnel = transport{protocol: 41, bytes: header(80)}
	nd     = transport{protocol: flow.ICMPv6, need: 8, neighbour: true,
		bytes: append([]byte{135, 0, 0, 0, 0, 0}, make([]byte, whole-6)...)}
)

// allowed is the reason for a packet whose headers are in order, of which left bytes of transport header are there.
func (t transport) allowed(policy string, left int) bpf.Reason {
	switch hasPorts := t.need > 0 && left >= t.need && !t.neighbour; {
	case policy == everything:
		return bpf.ReasonPolicy
	case !hasPorts:
		return bpf.ReasonFragment
	case t.protocol == flow.TCP || t.protocol == flow.UDP:
		return bpf.ReasonPolicy
	}
	return bpf.ReasonNoRule
}

// gallery shows frames to the twin and to the kernel, and compares.
type gallery struct {
	t                  *testing.T
	twin               *datapath.Datapath
	kernel             *bpf.Harness
	asked, stride      int // only one frame of so many is shown
	shown, differences int
}

func newGallery(t *testing.T) *gallery {
	needRoot(t)
	g := &gallery{t: t, kernel: open(t, plain), stride: 1}
	if testing.Short() {
		g.stride = 31 // emulated machines are slow; no dimension has so many values
	}
	return g
}

// policy isolates the pod in both directions. The peer is known to be on its link.
func (g *gallery) policy(policy string) {
	i := img(somePorts, somePorts)
	if policy == everything {
		i.Rows[1].Ports[1] = bpf.PortsAll
	}
	g.load(i)
}

func (g *gallery) load(i *bpf.Image) {
	g.twin = datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
	g.twin.Load(i)
	if _, err := g.kernel.Sync(i); err != nil {
		g.t.Fatal(err)
	}
	g.show(flow.Ingress, discovery(peerIP6.String(), podIP6.String(), 135, 255, 32), bpf.ReasonNeighbour, "solicitation of the peer")
}

// next says whether it is the turn of the next frame, which then must be shown.
func (g *gallery) next() bool {
	g.asked++
	return g.asked%g.stride == 0
}

// show gives up after some differences: where one is, many are.
func (g *gallery) show(dir flow.Direction, f []byte, want bpf.Reason, shape any) {
	g.shown++
	got, err := g.kernel.Run(dir, iface, false, f)
	if err != nil {
		g.t.Fatalf("%+v: %x: %v", shape, f, err)
	}
	twin := g.twin.Run(dir, iface, false, f)
	if got == twin && got.Reason == want {
		return
	}
	g.t.Errorf("%s %+v: %x: kernel says %s %+v, twin %s %+v, want %s", dir, shape, f, got.Reason, got, twin.Reason, twin, want)
	if g.differences++; g.differences > 20 {
		g.t.FailNow()
	}
}

// addresses are those of a packet of the peer, or of one for the peer.
func addresses(dir flow.Direction, pod, peer netip.Addr) []byte {
	if dir == flow.Egress {
		return append(pod.AsSlice(), peer.AsSlice()...)
	}
	return append(peer.AsSlice(), pod.AsSlice()...)
}
