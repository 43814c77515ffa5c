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

type fragmentState struct{ instance, epoch, seen uint32 }

func (d *Datapath) firstPassed(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) {
	d.fragments[fragmentKey{p.src, p.dst, p.fragmentID, ifindex, p.fragmentOf, dir}] =
		&fragmentState{pod.Instance, d.epoch, d.seconds()}
}

func (d *Datapath) followsFirst(pod *bpf.Pod, ifindex uint32, dir flow.Direction, p *packet) bool {
	f := d.fragments[fragmentKey{p.src, p.dst, p.fragmentID, ifindex, p.fragmentOf, dir}]
	return f != nil && f.instance == pod.Instance && f.epoch == d.epoch && d.seconds()-f.seen <= udpTimeout
}
