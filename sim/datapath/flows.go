package datapath

import (
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

const (
	udpTimeout = 180 // seconds after which a flow without connections is forgotten
	healTime   = 30  // seconds
)

type healing struct {
	instance uint32
	until    uint32 // seconds since boot
}

// flowKey is a flow seen from the pod.
type flowKey struct {
	ifindex           uint32
	pod, peer         netip.Addr
	podPort, peerPort uint16
	protocol          flow.Protocol
}

type flowState struct {
	instance uint32
	epoch    uint32  // when the opener's direction was last found allowed
	seen     uint32  // seconds since boot
	opened   [2]bool // by direction
	byNode   bool    // opened by a process of the pod's own node
}

func keyOf(p *packet, ifindex uint32, dir flow.Direction) flowKey {
	if dir == flow.Egress {
		return flowKey{ifindex, p.src, p.dst, p.srcPort, p.dstPort, p.protocol}
	}
	return flowKey{ifindex, p.dst, p.src, p.dstPort, p.srcPort, p.protocol}
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

// touch keeps a flow from timing out that was opened in the direction whose policy let a packet pass.
func (d *Datapath) touch(f *flowState, dir flow.Direction) {
	if f.opened[dir] || d.keep {
		f.seen = d.seconds()
	}
}

// track remembers that an allowed packet may have opened a flow.
func (d *Datapath) track(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet, byNode bool) {
	if !p.hasPorts || hasConnections(p.protocol) && !p.opens && !byNode && !d.isHealing(pod, ifindex) {
		return
	}
	if d.few && pod.Sets[dir.Opposite()] == bpf.SetOpen {
		return
	}
	key := keyOf(p, ifindex, dir)
	f := d.find(key, pod)
	if f == nil || p.opens && !byNode {
		opener := dir
		if byNode && !p.opens && hasConnections(p.protocol) && d.reverseAllowed(pod, dir.Opposite(), p) {
			opener, byNode = dir.Opposite(), false // the pod may have opened it, whose connections can be revoked
		}
		f = &flowState{instance: pod.Instance, epoch: d.epoch, seen: d.seconds(), byNode: byNode}
		f.opened[opener] = true
		d.flows[key] = f
		return
	}
	d.touch(f, dir)
	if p.opens { // from the node
		f.seen = d.seconds()
		f.opened[dir], f.byNode = true, true
	}
}

// judgeFlow says why a packet passes that the policy of its own direction does not allow; ReasonNone if it does not.
func (d *Datapath) judgeFlow(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet, madeHere bool) bpf.Reason {
	if !p.hasPorts || p.opens {
		return bpf.ReasonNone
	}
	if f := d.find(keyOf(p, ifindex, dir), pod); f != nil {
		if f.epoch == d.epoch || f.byNode || d.keep {
			d.touch(f, dir.Opposite())
		}
		switch {
		case madeHere && f.byNode && p.protocol == flow.TCP && p.fragment == noFragment:
			return bpf.ReasonFromNode
		case d.stillAllowed(f, pod, dir.Opposite(), p):
			return bpf.ReasonReply
		case d.keep:
			return bpf.ReasonEstablished
		}
		return bpf.ReasonNone
	}
	if !d.few && hasConnections(p.protocol) && d.reverseAllowed(pod, dir.Opposite(), p) {
		d.healing[ifindex] = healing{pod.Instance, d.seconds() + healTime}
	}
	return bpf.ReasonNone
}

// isHealing says whether the pod lost a reply lately because its flow was not known.
func (d *Datapath) isHealing(pod *bpf.Pod, ifindex uint32) bool {
	h := d.healing[ifindex]
	return h.instance == pod.Instance && h.until > d.seconds()
}

// isRelated says whether p is an ICMP error about a packet of a flow that is known and still allowed.
func (d *Datapath) isRelated(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) bool {
	if p.inner == nil || p.fragment != noFragment {
		return false
	}
	inner, ok := p.parseInner()
	if !ok || inner.src != p.dst {
		return false // an error goes to the sender of what it is about
	}
	f := d.find(keyOf(inner, ifindex, dir.Opposite()), pod)
	if f == nil {
		return false
	}
	if f.epoch == d.epoch || f.byNode || d.keep {
		return true
	}
	return f.opened[dir.Opposite()] && d.forwardAllowed(pod, dir.Opposite(), inner) ||
		f.opened[dir] && d.reverseAllowed(pod, dir, inner)
}

// forwardAllowed asks the policy of direction dir about a packet that goes that way.
func (d *Datapath) forwardAllowed(pod *bpf.Pod, dir flow.Direction, p *packet) bool {
	peer := p.src
	if dir == flow.Egress {
		peer = p.dst
	}
	var ignored bpf.Outcome
	return d.policy(pod.Sets[dir], p, peer, p.dstPort, &ignored).Verdict() == flow.Allow
}

// reverseAllowed asks the policy of direction dir about the flow of a packet that goes the other way.
func (d *Datapath) reverseAllowed(pod *bpf.Pod, dir flow.Direction, p *packet) bool {
	peer := p.dst
	if dir == flow.Egress {
		peer = p.src
	}
	var ignored bpf.Outcome
	return d.policy(pod.Sets[dir], p, peer, p.srcPort, &ignored).Verdict() == flow.Allow
}

// stillAllowed says whether the flow was opened in direction dir and the policy of that direction still allows it; p goes
// the other way.
func (d *Datapath) stillAllowed(f *flowState, pod *bpf.Pod, dir flow.Direction, p *packet) bool {
	if !f.opened[dir] {
		return false
	}
	if f.epoch == d.epoch || dir == flow.Ingress && f.byNode {
		return true
	}
	if !d.reverseAllowed(pod, dir, p) {
		return false
	}
	f.epoch, f.seen = d.epoch, d.seconds()
	return true
}
