package model

import "github.com/palisade-netpol/palisade/model/flow"

// Verdict is Decide(q).Verdict, found faster where many are asked for: between pods of the cluster, what the rules
// match is worked out once per pod, direction, port and family for all peers together, and kept for the next query.
// Ask port by port, therefore.
func (m *Model) Verdict(q Query) flow.Verdict {
	if m.serviceOf(&q) != nil {
		return m.Decide(q).Verdict
	}
	c, reason := m.connect(q, false)
	c.quick = m
	return c.decide(reason).Verdict
}

// knows reports whether peer is a pod of the cluster, as opposed to one that is only asked about, at its first address
// of the family.
func (m *Model) knows(peer *end) bool {
	p := peer.pod
	return p != nil && p.index < len(m.order) && m.order[p.index] == p && p.addr(flow.FamilyOf(peer.addr)) == peer.addr
}

// lookUp gives the answer of listRules for a peer that m knows, without the list.
func (m *Model) lookUp(port flow.PortProto, dir flow.Direction, subject *pod, peer *end) match {
	key := reachKey{port, flow.FamilyOf(peer.addr)}
	cached := subject.reach[dir].Load()
	if cached == nil || cached.reachKey != key {
		cached = &reach{key, m.reachOf(subject, dir, key)}
		subject.reach[dir].Store(cached)
	}
	return cached.pods.match(peer.pod.index)
}

// reach is the set of pods that rules match.
type reach struct {
	reachKey
	pods podSet
}

// reachKey is what the set depends on beside the rules and, for ingress, the port names of the subject.
type reachKey struct {
	flow.PortProto
	family flow.Family
}

// reachOf is one of the rules of subject's policies.
func (m *Model) reachOf(subject *pod, dir flow.Direction, key reachKey) podSet {
	all := newPodSet(len(m.order))
	for _, policy := range subject.isolating[dir] {
		for _, r := range policy.rules[dir] {
			if dir == flow.Egress {
				all.unite(m.destinations(r, key), yes)
			} else if ports := r.matchPorts(key.PortProto, subject); ports != no {
				all.unite(m.sources(r, key.family), ports)
			}
		}
	}
	return all
}

// destinations are the pods that an egress rule matches: one of its peers, and one of its ports on the pod.
func (m *Model) destinations(r *rule, key reachKey) podSet {
	return r.remember(key, func() podSet {
		set := newPodSet(len(m.order))
		for i, p := range m.order {
			if ports := r.matchPorts(key.PortProto, p); ports != no {
				set.add(i, min(ports, r.matchPeers(p.end(key.family))))
			}
		}
		return set
	})
}

// sources are the pods that a rule's peers match, whatever the port is.
func (m *Model) sources(r *rule, f flow.Family) podSet {
	return r.remember(reachKey{family: f}, func() podSet {
		set := newPodSet(len(m.order))
		for i, p := range m.order {
			set.add(i, r.matchPeers(p.end(f)))
		}
		return set
	})
}

func (r *rule) remember(key reachKey, find func() podSet) podSet {
	cached := r.reach.Load()
	if cached == nil || cached.reachKey != key {
		cached = &reach{key, find()}
		r.reach.Store(cached)
	}
	return cached.pods
}

// end is p as the end of a connection in a family.
func (p *pod) end(f flow.Family) end { return end{pod: p, host: p.host, addr: p.addr(f)} }

// podSet holds pods by their index, a bit each: those that match for all that the API permits (certain), and those
// that match for some of it at least (possible).
type podSet struct{ certain, possible []uint64 }

func newPodSet(pods int) podSet {
	words := (pods + 63) / 64
	return podSet{make([]uint64, words), make([]uint64, words)}
}

func (s podSet) add(i int, v match) {
	bit := uint64(1) << (i % 64)
	if v == yes {
		s.certain[i/64] |= bit
	}
	if v != no {
		s.possible[i/64] |= bit
	}
}

func (s podSet) match(i int) match {
	switch bit := uint64(1) << (i % 64); {
	case s.certain[i/64]&bit != 0:
		return yes
	case s.possible[i/64]&bit != 0:
		return maybe
	}
	return no
}

// unite adds the pods of o, each matching no better than limit.
func (s podSet) unite(o podSet, limit match) {
	for i := range s.possible {
		s.possible[i] |= o.possible[i]
		if limit == yes {
			s.certain[i] |= o.certain[i]
		}
	}
}
