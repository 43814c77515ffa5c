package model

import "github.com/palisade-netpol/palisade/model/flow"

// connection is a new connection being judged.
type connection struct {
	from, to end
	flow.PortProto
	viaService bool // its destination address has been translated
}

// Decide judges a new connection. Where To is the ClusterIP of a Service, it judges what becomes of the connection
// after translation: see Service.
func (m *Model) Decide(q Query) Decision {
	svc := m.services.at(q.To.Addr)
	if svc == nil || q.Family != 0 && q.Family != flow.FamilyOf(q.To.Addr) {
		return m.decide(q, false, listRules)
	}
	return m.decideService(q, svc)
}

func (m *Model) decide(q Query, viaService bool, rules matcher) Decision {
	from, to := m.ends(q)
	d := Decision{From: from.name, To: to.name, Tuple: flow.Tuple{Protocol: q.Protocol, DstPort: q.Port}}
	for _, reason := range []Reason{from.absent(), to.absent()} {
		if reason != "" {
			return d.whole(flow.Undefined, reason)
		}
	}
	if reason := meet(&from, &to, q.Family); reason != "" {
		return d.whole(flow.Undefined, reason)
	}
	d.Tuple.Src, d.Tuple.Dst = from.addr, to.addr
	if from.pod != nil && from.pod == to.pod && !viaService {
		return d.whole(flow.Allow, Self)
	}
	c := connection{from, to, q.PortProto, viaService}
	d.Egress, d.Ingress = c.judge(flow.Egress, rules), c.judge(flow.Ingress, rules)
	d.Verdict = both(d.Egress.Verdict, d.Ingress.Verdict)
	return d
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
func (c *connection) judge(dir flow.Direction, rules matcher) Half {
	subject, peer := &c.from, &c.to
	if dir == flow.Ingress {
		subject, peer = peer, subject
	}
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
		best := rules(c, dir, subject.pod, peer, &h)
		h.Verdict, h.Reason = c.outcome(dir, subject, peer, best)
	}
	return h
}

// listRules asks every rule of every isolating policy, and lists in h those that match: for certain, if there are any.
func listRules(c *connection, dir flow.Direction, subject *pod, peer *end, h *Half) match {
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
	case !c.Protocol.HasPorts():
		return flow.Undefined, ProtocolNotCovered
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
	}
	return flow.Deny, NoRuleMatched
}
