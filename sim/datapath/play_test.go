package datapath_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// runner is either reader of the tables.
type runner interface {
	load(*bpf.Image) error
	run(dir flow.Direction, from sender, f []byte) (bpf.Reason, error)
}

// sender is who sends a packet.
type sender uint8

const (
	another  sender = iota // or the pod
	theNode                // a process of the pod's own node
	theStack               // … or the node's kernel, for a process that is not there any more
)

type twin struct {
	*datapath.Datapath
	now time.Duration
}

func (t *twin) load(img *bpf.Image) error { t.Load(img); return nil }
func (t *twin) run(dir flow.Direction, from sender, f []byte) (bpf.Reason, error) {
	t.Socketless = from == theStack
	return t.Run(dir, iface, from != another, f).Reason, nil
}

type kernel struct {
	*bpf.Harness
	instance uint32 // of the pod: flows of an earlier case count for nothing
}

func (k *kernel) load(img *bpf.Image) error {
	mine := *img
	mine.Pods = slices.Clone(img.Pods)
	for i := range mine.Pods {
		mine.Pods[i].Instance = k.instance
	}
	_, err := k.Sync(&mine)
	return err
}

func (k *kernel) run(dir flow.Direction, from sender, f []byte) (bpf.Reason, error) {
	k.Socketless = from == theStack
	out, err := k.Run(dir, iface, from != another, f)
	return out.Reason, err
}

const iface = 9

var (
	podIP   = netip.MustParseAddr("10.1.0.1")
	podIP6  = netip.MustParseAddr("fd00:1::1")
	peerIP  = netip.MustParseAddr("10.1.0.2")
	peerIP6 = netip.MustParseAddr("fd00:1::2")
)

// img is an image for one pod. Each of egress and ingress is "open", "closed", or "peer:80": the peer's port 80 (egress) or
// the pod's port 80 (ingress) for TCP and UDP.
func img(egress, ingress string) *bpf.Image {
	set := func(s string) uint32 {
		return map[string]uint32{"open": bpf.SetOpen, "closed": bpf.SetClosed, "peer:80": bpf.SetFirst}[s]
	}
	i := &bpf.Image{
		Peers4: make([]bpf.AddrPage, bpf.Fanout),
		Hosts:  []bpf.Host{{Addr: bpf.Mapped(peerIP6), Class: 1}},
		Sets:   make([]bpf.SetRows, bpf.SetFirst+1),
		Rows:   make([]bpf.Row, 2),
		Pods: []bpf.Pod{{Ifindex: iface, Instance: 1, IP4: podIP, IP6: podIP6,
			Sets: [2]uint32{flow.Egress: set(egress), flow.Ingress: set(ingress)}}},
	}
	i.Peers4[10].Slot[1] = 1 // 10.1.0.0/16
	i.Sets[bpf.SetFirst].Row[0] = 1
	i.Rows[1].Ports[1] = bpf.PortsFirst<<bpf.PortsTCPShift | bpf.PortsFirst<<bpf.PortsUDPShift
	i.PortPages, i.PortLeaves = bpf.PortTables()
	i.PortPages = append(i.PortPages, bpf.PortPage{Leaf: [bpf.Fanout]uint16{0: uint16(bpf.PortsFirst)}})
	i.PortLeaves = append(i.PortLeaves, bpf.PortLeaf{Bits: [4]uint64{80 / 64: 1 << (80 % 64)}})
	return i
}

// step is one packet and why it must pass or be dropped, or a change of policy.
type step struct {
	policy *bpf.Image
	dir    flow.Direction
	proto  flow.Protocol
	kind   frame.Kind
	pod    uint16 // the pod's port
	peer   uint16 // the peer's port
	want   bpf.Reason
	from   sender
	about  bool                  // make turns a packet that goes the other way into the one that is sent
	make   func(f []byte) []byte // turns the first packet, or answer, into the one that is sent
}

func out(p flow.Protocol, k frame.Kind, pod, peer uint16, want bpf.Reason) step {
	return step{dir: flow.Egress, proto: p, kind: k, pod: pod, peer: peer, want: want}
}

func in(p flow.Protocol, k frame.Kind, pod, peer uint16, want bpf.Reason) step {
	return step{dir: flow.Ingress, proto: p, kind: k, pod: pod, peer: peer, want: want}
}

func policy(egress, ingress string) step { return step{policy: img(egress, ingress)} }

func node(s step) step { s.from = theNode; return s }

func stack(s step) step { s.from = theStack; return s }

// fragment sends the first (0) or second (1) fragment of the packet, cut after size bytes.
func fragment(s step, n, size int) step {
	s.make = func(f []byte) []byte {
		first, second := frame.Fragment(f, 7, size)
		return [][]byte{first, second}[n]
	}
	return s
}

// about sends, the other way, an ICMP error about the packet, from a router.
func about(s step) step {
	return errorBy(s, func(f []byte) netip.Addr {
		if f[14]>>4 == 6 {
			return netip.MustParseAddr("2001:db8::254")
		}
		return netip.MustParseAddr("192.0.2.254")
	})
}

// refused sends, the other way, an ICMP error about the packet, from its destination.
func refused(s step) step {
	return errorBy(s, func(f []byte) netip.Addr {
		if f[14]>>4 == 6 {
			return netip.AddrFrom16([16]byte(f[38:54]))
		}
		return netip.AddrFrom4([4]byte(f[30:34]))
	})
}

func errorBy(s step, sender func([]byte) netip.Addr) step {
	s.dir, s.about = s.dir.Opposite(), true
	cut := s.make
	s.make = func(f []byte) []byte {
		if cut != nil {
			f = cut(f)
		}
		return frame.Error(f, sender(f))
	}
	return s
}

// elsewhere sends the packet to another address.
func elsewhere(s step) step {
	whole := s.make
	s.make = func(f []byte) []byte {
		f = whole(f)
		if f[14]>>4 == 6 {
			f[38] ^= 0x40
		} else {
			f[30] ^= 0x40
		}
		return f
	}
	return s
}

type flowCase struct {
	name  string
	steps []step
}

// newTwin is the twin of programs with these options.
func newTwin(o bpf.Options) *twin {
	w := &twin{now: time.Hour}
	w.Datapath = datapath.New(o.Mode, func() time.Duration { return w.now })
	if o.KeepEstablished {
		w.KeepEstablished()
	}
	if o.TrackIsolatedOnly {
		w.TrackIsolatedOnly()
	}
	return w
}

func playFlows(t *testing.T, cases []flowCase, o bpf.Options) {
	play := func(name string, start func(*testing.T) runner) {
		for _, c := range cases {
			for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
				t.Run(name+"/"+flow.FamilyOf(addrs[0]).String()+"/"+c.name, func(t *testing.T) {
					playSteps(t, start(t), c.steps, addrs[0], addrs[1])
				})
			}
		}
	}
	play("twin", func(*testing.T) runner { return newTwin(o) })
	if os.Geteuid() != 0 {
		t.Log("not root: not played in the kernel")
		return
	}
	h := open(t, o)
	instance := uint32(0)
	play("kernel", func(*testing.T) runner {
		instance++
		return &kernel{h, instance}
	})
}

func playSteps(t *testing.T, r runner, steps []step, pod, peer netip.Addr) {
	for i, s := range steps {
		if s.policy != nil {
			if err := r.load(s.policy); err != nil {
				t.Fatal(err)
			}
			continue
		}
		tuple := flow.Tuple{Src: pod, Dst: peer, Protocol: s.proto, SrcPort: s.pod, DstPort: s.peer}
		if (s.dir == flow.Ingress) != s.about {
			tuple = tuple.Reply()
		}
		if s.proto == flow.ICMP && pod.Is6() {
			tuple.Protocol = flow.ICMPv6
		}
		f := frame.New(tuple, s.kind)
		if s.make != nil {
			f = s.make(f)
		}
		got, err := r.run(s.dir, s.from, f)
		if err != nil || got != s.want {
			t.Errorf("step %d, %s %+v: got %s (%v), want %s", i, s.dir, tuple, got, err, s.want)
		}
	}
}
