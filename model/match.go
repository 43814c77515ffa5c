package model

import "github.com/palisade-netpol/palisade/model/flow"

// match is whether something matches, where implementations may differ: no and yes hold for all that the API permits,
// maybe for some only. "One of" is max, "all of" is min.
type match uint8

const (
	no match = iota
	maybe
	yes
)

// matches: both one of the peers and one of the ports. to is the destination pod, nil if there is none: it is the one
// that gives port names a meaning, in either direction.
func (r *rule) matches(peer end, p flow.PortProto, to *pod) match {
	ports := r.matchPorts(p, to)
	if ports == no {
		return no
	}
	return min(ports, r.matchPeers(peer))
}

func (r *rule) matchPeers(peer end) match {
	if len(r.peers) == 0 {
		return yes
	}
	best := no
	for i := range r.peers {
		best = max(best, r.peers[i].matches(peer))
	}
	return best
}

func (r *rule) matchPorts(p flow.PortProto, to *pod) match {
	if len(r.ports) == 0 {
		return yes
	}
	best := no
	for i := range r.ports {
		best = max(best, r.ports[i].matches(p, to))
	}
	return best
}

// matches: a block by the address in the packet, a selector by the pod, whichever of its addresses is used. Whether
// selectors select hostNetwork pods is left to the implementation.
func (p *peer) matches(e end) match {
	switch {
	case p.block != nil && p.block.contains(e.addr):
		return yes
	case p.block != nil || e.pod == nil || !p.selects(e.pod):
		return no
	case e.pod.hostNetwork:
		return maybe
	}
	return yes
}

func (p port) matches(q flow.PortProto, to *pod) match {
	switch {
	case p.protocol != q.Protocol:
		return no
	case p.first <= q.Port && q.Port <= p.last:
		return yes
	case p.name != "" && to != nil:
		return to.calls(q, p.name)
	}
	return no
}

// calls reports whether the pod calls a port by that name; several containers may use one name for different ports.
func (p *pod) calls(q flow.PortProto, name string) match {
	best := no
	for _, port := range p.ports {
		switch {
		case port.name != name || port.PortProto != q:
		case port.certain && !p.hostNetwork:
			return yes
		default:
			best = maybe
		}
	}
	return best
}
