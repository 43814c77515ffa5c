package model

import "github.com/palisade-netpol/palisade/model/flow"

// connection is a new connection being judged.
type connection struct {
	from, to end
	flow.PortProto
	viaService bool   // its destination address has been translated
	quick      *Model // what knows the answers of all rules together, nil to ask them one by one
}

// Decide judges a new connection. Where To is the ClusterIP of a Service, it judges what becomes of the connection
// after translation: see Service.
func (m *Model) Decide(q Query) Decision {
	if svc := m.serviceOf(&q); svc != nil {
		_, decisions := m.Service(q.From, svc, q.PortProto, q.Family)
		return summarize(q, svc, decisions)
	}
	c, reason := m.connect(q, false)
	return c.decide(reason)
}

// decide judges c, unless there is a reason why there is no connection.
func (c *connection) decide(reason Reason) Decision {
	d := Decision{From: c.from.name, To: c.to.name}
	d.Tuple = flow.Tuple{Src: c.from.addr, Dst: c.to.addr, Protocol: c.Protocol, DstPort: c.Port}
	switch {
	case reason != "":
		return d.whole(flow.Undefined, reason)
	case c.from.pod != nil && c.from.pod == c.to.pod && !c.viaService:
		return d.whole(flow.Allow, Self)
	}
	d.Egress, d.Ingress = c.judge(flow.Egress), c.judge(flow.Ingress)
	d.Verdict = both(d.Egress.Verdict, d.Ingress.Verdict)
	return d
}

// connect finds both ends and their addresses, or the reason why there is no connection.
func (m *Model) connect(q Query, viaService bool) (connection, Reason) {
	c := connection{PortProto: q.PortProto, viaService: viaService}
	c.from, c.to = m.ends(q)
	for _, reason := range []Reason{c.from.absent(), c.to.absent()} {
		if reason != "" {
			return c, reason
		}
	}
	return c, meet(&c.from, &c.to, q.Family)
}

// whole is a decision that no half made.
func (d Decision) whole(v flow.Verdict, r Reason) Decision {
	d.Verdict, d.Reason = v, r
	d.Egress, d.Ingress = Half{Verdict: v, Reason: r}, Half{Verdict: v, Reason: r}
	return d
}

// both: one that denies suffices to deny, both must allow to allow.
func both(egress, ingress flow.Verdict) flow.Verdict {
	switch {
	case egress == flow.Deny || ingress == flow.Deny:
		return flow.Deny
	case egress == flow.Undefined || ingress == flow.Undefined:
		return flow.Undefined
	}
	return flow.Allow
}

// judge asks the policies of one end. Traffic is allowed if no policy isolates the pod in this direction, OR if it
// comes from the pod's own node, OR if a rule of any of the isolating policies matches.
func (c *connection) judge(dir flow.Direction) Half {
	subject, peer := c.roles(dir)
	if subject.pod == nil {
		return Half{Verdict: flow.Allow, Reason: NotAPod}
	}
	h := Half{Isolating: subject.pod.isolatingRefs[dir]}
	switch {
	case len(h.Isolating) == 0:
		h.Verdict, h.Reason = flow.Allow, NotIsolated
	case dir == flow.Ingress && peer.isNode() && peer.host == subject.host:
		h.Verdict, h.Reason = flow.Allow, LocalNode
	default:
		best := c.matchRules(dir, subject.pod, peer, &h)
		h.Verdict, h.Reason = c.outcome(dir, subject, peer, best)
	}
	return h
}

// roles returns the end whose policies are asked in a direction, and the other one.
func (c *connection) roles(dir flow.Direction) (subject, peer *end) {
	if dir == flow.Ingress {
		return &c.to, &c.from
	}
	return &c.from, &c.to
}

// matchRules says how well the rules of the isolating policies match.
func (c *connection) matchRules(dir flow.Direction, subject *pod, peer *end, h *Half) match {
	if c.quick != nil && c.quick.knows(peer) {
		return c.quick.lookUp(c.PortProto, dir, subject, peer)
	}
	return c.listRules(dir, subject, peer, h)
}

// listRules asks every rule of every isolating policy, and lists in h those that match: for certain, if there are any.
func (c *connection) listRules(dir flow.Direction, subject *pod, peer *end, h *Half) match {
	best := no
	for _, policy := range subject.isolating[dir] {
		for _, r := range policy.rules[dir] {
			m := r.matches(*peer, c.PortProto, c.to.pod)
			if m > best {
				best, h.Rules = m, nil
			}
			if m == best && m != no {
				h.Rules = append(h.Rules, r.ref)
			}
		}
	}
	return best
}

// outcome says what the best match of an isolated pod's rules means. What no rule allows for certain is undefined
// wherever the API permits to allow it all the same.
func (c *connection) outcome(dir flow.Direction, subject, peer *end, best match) (flow.Verdict, Reason) {
	switch {
	case best == yes && !c.Protocol.HasPorts():
		return flow.Undefined, RuleWithoutPorts
	case best == yes:
		return flow.Allow, RuleMatched
	case subject.pod.hostNetwork:
		return flow.Undefined, HostNetwork
	case dir == flow.Egress && peer.isNode() && peer.host == subject.host:
		return flow.Undefined, PodToOwnNode
	case c.viaService && c.from.pod == c.to.pod:
		return flow.Undefined, ServiceToSelf
	case best == maybe && peer.pod != nil && peer.pod.hostNetwork:
		return flow.Undefined, HostNetwork
	case best == maybe:
		return flow.Undefined, InitContainerPort
	case !c.Protocol.HasPorts():
		return flow.Undefined, ProtocolNotCovered
	}
	return flow.Deny, NoRuleMatched
}
