package datapath

import (
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// udpTimeout is after how many seconds a flow without connections is forgotten.
const udpTimeout = 180

// flowKey is a flow seen from the pod.
type flowKey struct {
	ifindex           uint32
	peer              netip.Addr
	podPort, peerPort uint16
	protocol          flow.Protocol
}

type flowState struct {
	instance uint32
	epoch    uint32  // when the opener's direction was last found allowed
	seen     uint32  // seconds since boot
	opened   [2]bool // by direction
}

func keyOf(p *packet, ifindex uint32, dir flow.Direction) flowKey {
	if dir == flow.Egress {
		return flowKey{ifindex, p.dst, p.srcPort, p.dstPort, p.protocol}
	}
	return flowKey{ifindex, p.src, p.dstPort, p.srcPort, p.protocol}
}

func hasConnections(p flow.Protocol) bool { return p == flow.TCP || p == flow.SCTP }

func (d *Datapath) seconds() uint32 { return uint32(d.now() / time.Second) }

func (d *Datapath) find(key flowKey, pod *bpf.Pod) *flowState {
	f := d.flows[key]
	if f == nil || f.instance != pod.Instance {
		return nil
	}
	if !hasConnections(key.protocol) && d.seconds()-f.seen > udpTimeout {
		return nil
	}
	return f
}

// track remembers that an allowed packet may have opened a flow.
func (d *Datapath) track(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) {
	otherIsolated := pod.Sets[dir.Opposite()] != bpf.SetOpen
	if !p.hasPorts || hasConnections(p.protocol) && !p.opens && !otherIsolated {
		return
	}
	key := keyOf(p, ifindex, dir)
	f := d.find(key, pod)
	if p.opens || f == nil {
		f = &flowState{instance: pod.Instance, epoch: d.epoch, seen: d.seconds()}
		f.opened[dir] = true
		d.flows[key] = f
		return
	}
	f.seen = d.seconds()
	if f.opened[dir] || hasConnections(p.protocol) {
		return
	}
	if !d.stillAllowed(f, pod, dir.Opposite(), p) {
		f.opened = [2]bool{}
		f.opened[dir] = true
	}
}

func (d *Datapath) isReply(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) bool {
	if !p.hasPorts || p.opens {
		return false
	}
	f := d.find(keyOf(p, ifindex, dir), pod)
	return f != nil && d.stillAllowed(f, pod, dir.Opposite(), p)
}

// stillAllowed says whether the flow was opened in direction dir and the policy of that direction still allows it; p goes
// the other way.
func (d *Datapath) stillAllowed(f *flowState, pod *bpf.Pod, dir flow.Direction, p *packet) bool {
	if !f.opened[dir] {
		return false
	}
	if f.epoch == d.epoch {
		return true
	}
	peer := p.dst
	if dir == flow.Egress {
		peer = p.src
	}
	var ignored bpf.Outcome
	if d.policy(pod.Sets[dir], p, peer, p.srcPort, &ignored).Verdict() == flow.Deny {
		return false
	}
	f.epoch = d.epoch
	return true
}
