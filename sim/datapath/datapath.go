// Package datapath is the Go twin of the programs in bpf/c: it interprets the same bpf.Image and reads the same Ethernet
// frames, and must come to the same verdict for the same reason. Where package model says what should happen, this says
// what the tables make happen: model == datapath proves the compiler, datapath == kernel proves the C.
//
// It follows the order and the words of the C, file by file, but shares no code with it.
package datapath

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Datapath is the datapath of one node. It is not safe for concurrent use.
type Datapath struct {
	// Socketless says that what is sent by the node comes without a socket, as what ends an IPv6 connection may.
	Socketless bool
	// GSOSize is the size of the segments that a frame is to be cut into; 0: it goes as it is.
	GSOSize uint32

	mode  bpf.Mode
	keep  bool                 // flows that a policy does not allow any more
	few   bool                 // flows are remembered where the other direction is isolated
	now   func() time.Duration // since boot
	epoch uint32
	img   *bpf.Image
	pods  map[uint32]bpf.Pod
	pages map[netip.Prefix]uint32 // of IPv6
	hosts map[netip.Addr]uint32
	nets  map[netip.Prefix]uint32
	// lengths are those of nets, the longest first.
	lengths []int
	flows   map[flowKey]*flowState
	// fragments are the datagrams whose first fragment passed; healing is when a pod's packets look for their flow.
	fragments map[fragmentKey]*fragmentState
	healing   map[uint32]healing
}

// New returns a datapath that knows no pod. now is the time since boot; it decides which UDP flows have timed out.
func New(mode bpf.Mode, now func() time.Duration) *Datapath {
	d := &Datapath{
		mode: mode, now: now,
		flows: map[flowKey]*flowState{}, fragments: map[fragmentKey]*fragmentState{}, healing: map[uint32]healing{},
	}
	d.Load(&bpf.Image{})
	return d
}

// KeepEstablished makes d keep flows that a policy does not allow any more, as bpf.Options.KeepEstablished does.
func (d *Datapath) KeepEstablished() { d.keep = true }

// TrackIsolatedOnly makes d remember flows only where the pod is isolated in the other direction, as bpf.Options.TrackIsolatedOnly does.
func (d *Datapath) TrackIsolatedOnly() { d.few = true }

// Load switches to an image. Flows are kept, as in the kernel.
func (d *Datapath) Load(img *bpf.Image) {
	d.epoch++
	d.Reload(img)
}

// Reload is Load where only pods came, went or moved, for which the kernel does not switch tables.
func (d *Datapath) Reload(img *bpf.Image) {
	d.img = img
	d.pods = make(map[uint32]bpf.Pod, len(img.Pods))
	for _, p := range img.Pods {
		d.pods[p.Ifindex] = p
	}
	maps.DeleteFunc(d.healing, func(ifindex uint32, _ healing) bool { return d.pods[ifindex].Instance == 0 }) // it lies in the entry
	d.pages = map[netip.Prefix]uint32{}
	for i := range img.Prefixes6 {
		img.Prefixes6[i].Each(func(p netip.Prefix, page uint32) { d.pages[p] = page })
	}
	d.hosts = make(map[netip.Addr]uint32, len(img.Hosts))
	for _, h := range img.Hosts {
		d.hosts[netip.AddrFrom16(h.Addr).Unmap()] = h.Class
	}
	d.nets = make(map[netip.Prefix]uint32, len(img.Nets))
	d.lengths = nil
	for _, n := range img.Nets {
		p := unmap(n)
		d.nets[p] = n.Class
		d.lengths = append(d.lengths, p.Bits())
	}
	slices.SortFunc(d.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	d.lengths = slices.Compact(d.lengths)
}

// unmap returns the prefix of an entry; one that is IPv4-mapped is of IPv4.
func unmap(n bpf.Net) netip.Prefix {
	a, bits := netip.AddrFrom16(n.Addr), int(n.Bits)
	if a.Is4In6() {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a, bits)
}

// Run judges one Ethernet frame at the interface of a pod.
func (d *Datapath) Run(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte) bpf.Outcome {
	pod := d.pods[ifindex]
	p, result := parse(frame, d.GSOSize > 0)
	out := bpf.Outcome{}
	out.Reason = d.judge(&pod, ifindex, fromNode, dir, p, result, &out)
	return out
}

func (d *Datapath) judge(pod *bpf.Pod, ifindex uint32, fromNode bool, dir flow.Direction, p *packet,
	result parseResult, out *bpf.Outcome) bpf.Reason {
	set := pod.Sets[dir]
	if result == neighbour {
		if d.isOfLink(p, pod, ifindex, dir) {
			return bpf.ReasonNeighbour
		}
		result = parsed
	}
	madeHere := dir == flow.Ingress && fromNode
	fromNode = madeHere && !d.Socketless
	if pod.Instance == 0 || set == bpf.SetUnknown {
		switch {
		case d.mode == bpf.Strict && fromNode:
			return bpf.ReasonFromNode
		case d.mode == bpf.Strict:
			return bpf.ReasonUnknownPod
		case pod.Instance == 0:
			return bpf.ReasonUnknownPodOpen
		}
		set = bpf.SetOpen
	}
	if dir == flow.Egress && !pod.MayRoute {
		switch {
		case result == tagged: // anything may lie behind the tag
			return bpf.ReasonUnsupported
		case result == malformed && !p.src.IsValid():
			return bpf.ReasonMalformed
		case result != unsupported && p.src != pod.IP4 && p.src != pod.IP6:
			return bpf.ReasonSpoofed
		}
	}
	if result != parsed {
		switch {
		case set == bpf.SetOpen:
			return bpf.ReasonNotIsolated
		case result == malformed:
			return bpf.ReasonMalformed
		}
		return bpf.ReasonUnsupported
	}
	if fromNode {
		d.track(pod, ifindex, dir, p, true)
		return bpf.ReasonFromNode
	}
	peer := p.src
	if dir == flow.Egress {
		peer = p.dst
	}
	reason := d.policy(set, p, peer, p.dstPort, out)
	switch {
	case reason.Verdict() == flow.Allow:
		d.track(pod, ifindex, dir, p, false)
	case p.fragment == laterFragment:
		if d.followsFirst(pod, ifindex, dir, p) {
			return bpf.ReasonLaterFragment
		}
		return reason
	default:
		belongs := d.judgeFlow(pod, ifindex, dir, p, madeHere)
		if belongs == bpf.ReasonNone && d.isRelated(pod, ifindex, dir, p) {
			return bpf.ReasonRelated
		} else if belongs == bpf.ReasonNone {
			return reason
		}
		reason = belongs
	}
	if p.fragment == firstFragment && set != bpf.SetOpen {
		d.firstPassed(pod, ifindex, dir, p)
	}
	return reason
}
