package datapath

import (
	"net/netip"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

type fragmentKey struct {
	src, dst netip.Addr
	id       uint32
	ifindex  uint32
	protocol flow.Protocol
	dir      flow.Direction
}

type fragmentState struct {
	instance, epoch, seen uint32
	end                   int // of the transport header, in what was cut
}

func datagramOf(p *packet, ifindex uint32, dir flow.Direction) fragmentKey {
	return fragmentKey{p.src, p.dst, p.fragmentID, ifindex, p.fragmentOf, dir}
}

// firstPassed remembers the datagram of a first fragment. Which of two first ones counts is up to the receiver, so the headers of both do.
func (d *Datapath) firstPassed(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) {
	f := fragmentState{pod.Instance, d.epoch, d.seconds(), p.fragmentAt}
	if known := d.datagram(pod, ifindex, dir, p); known != nil {
		f.end = max(f.end, known.end)
	}
	d.fragments[datagramOf(p, ifindex, dir)] = &f
}

func (d *Datapath) datagram(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) *fragmentState {
	f := d.fragments[datagramOf(p, ifindex, dir)]
	if f == nil || f.instance != pod.Instance || f.epoch != d.epoch || d.seconds()-f.seen > udpTimeout {
		return nil
	}
	return f
}

// followsFirst says whether a later fragment is of a datagram whose first one passed, and begins behind the transport header there.
func (d *Datapath) followsFirst(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) bool {
	f := d.datagram(pod, ifindex, dir, p)
	return f != nil && p.fragmentAt >= f.end
}
