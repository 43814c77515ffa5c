package model

import "github.com/palisade-netpol/palisade/model/flow"

// Explanation is a Decision and what a person asks next: what would have had to be otherwise, and what Palisade does
// where the API leaves the answer open. Sentences tells all of it.
type Explanation struct {
	Decision
	// Halves is indexed by flow.Direction.
	Halves [2]HalfExplanation
	// Enforcement says in a sentence what Palisade's enforcement does where Reason leaves the verdict undefined.
	Enforcement string
	// Backends explain each connection that one to a Service may become, sorted by address and port.
	Backends []Explanation
}

// HalfExplanation explains one Half of a decision.
type HalfExplanation struct {
	// Nearest is the rule of an isolating policy that needs least to be otherwise to match; among equals, the first in the
	// order of Half.Isolating, then of the rule's index. It is nil where a rule matches or there is no rule.
	Nearest *Miss
	// Elsewhere are policies that select the pod, but for the other direction only. Where no policy isolates the pod,
	// it is these that people thought would.
	Elsewhere []PolicyRef
	// Enforcement says in a sentence what Palisade's enforcement does where the half is undefined.
	Enforcement string
}

// Explain is Decide with the reasons behind it.
func (m *Model) Explain(q Query) Explanation {
	svc := m.serviceOf(&q)
	if svc == nil {
		return m.explain(q, false)
	}
	queries, nowhere := m.route(q.From, svc, q.PortProto, q.Family)
	if len(queries) == 0 {
		return Explanation{Decision: nowhere}
	}
	var e Explanation
	var decisions []Decision
	for _, q := range queries {
		b := m.explain(q, true)
		e.Backends, decisions = append(e.Backends, b), append(decisions, b.Decision)
	}
	e.Decision = summarize(q, svc, decisions)
	if e.Reason == "" {
		e.Halves = e.Backends[0].Halves
	}
	e.Enforcement = enforcementOf(e.Reason)
	return e
}

func (m *Model) explain(q Query, viaService bool) Explanation {
	c, reason := m.connect(q, viaService)
	e := Explanation{Decision: c.decide(reason)}
	if e.Reason != "" {
		return e
	}
	e.Halves[flow.Egress] = c.explain(flow.Egress, e.Egress)
	e.Halves[flow.Ingress] = c.explain(flow.Ingress, e.Ingress)
	return e
}

func (c *connection) explain(dir flow.Direction, h Half) HalfExplanation {
	var e HalfExplanation
	subject, peer := c.roles(dir)
	if h.Reason == NotIsolated {
		e.Elsewhere = subject.pod.isolatingRefs[dir.Opposite()]
	}
	if h.Verdict != flow.Allow && len(h.Rules) == 0 {
		e.Nearest = c.nearest(dir, subject.pod, peer)
	}
	if h.Verdict == flow.Undefined {
		e.Enforcement = c.enforcement(h.Reason, subject)
	}
	return e
}

// nearest finds the rule with the fewest differences to one that matches.
func (c *connection) nearest(dir flow.Direction, subject *pod, peer *end) *Miss {
	var nearest *Miss
	for _, policy := range subject.isolating[dir] {
		for _, r := range policy.rules[dir] {
			if m := c.miss(r, peer); nearest == nil || m.differences() < nearest.differences() {
				nearest = &m
			}
		}
	}
	return nearest
}

// enforcement says what Palisade does about an undefined half; README.md has the same as a table.
func (c *connection) enforcement(r Reason, subject *end) string {
	if r == HostNetwork && subject.pod.hostNetwork {
		return "Palisade takes a hostNetwork pod for its node and enforces no policy on it: allowed."
	}
	return enforcementOf(r)
}

func enforcementOf(r Reason) string {
	switch r {
	case HostNetwork:
		return "Palisade takes a hostNetwork pod for its node, which only an ipBlock matches: denied."
	case PodToOwnNode:
		return "Palisade lets a pod reach its own node: allowed."
	case InitContainerPort:
		return "Palisade counts the port names of containers and sidecars only: denied."
	case ProtocolNotCovered:
		return "Palisade denies it, since no rule without ports allows the peer."
	case RuleWithoutPorts:
		return "Palisade allows it, since that rule names no ports."
	case ServiceToSelf:
		return "Palisade decides by the address that the packet carries at the pod's interface."
	case BackendsDiffer:
		return "Palisade denies it where egress differs, and decides for the backend it is translated to where only ingress does."
	}
	return ""
}
