package model

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Miss is a rule that does not match, and why.
type Miss struct {
	RuleRef
	Differences []Difference `json:"differences"`
}

// Difference is one thing that keeps a rule from matching.
type Difference struct {
	Of Aspect `json:"of"`
	// Allowed is what the rule asks for, one text for each of its ports or peers.
	Allowed []string `json:"allowed"`
	// Nearest is the one of Allowed that needs least to be otherwise.
	Nearest string `json:"nearest"`
	// Given is what the connection has instead, for example "TCP/8080" or "y/b is labelled app=cli".
	Given  string `json:"given"`
	Except string `json:"except,omitempty"` // the CIDR in the way, OfExcept

	weight int
}

// Aspect says what a Difference is about.
type Aspect string

// The aspects of a connection that a rule may miss.
const (
	OfProtocol        Aspect = "protocol"          // the port would do in another protocol
	OfPort            Aspect = "port"              // another port of this protocol would do
	OfProtocolAndPort Aspect = "protocol-and-port" // neither is what the rule asks for
	OfPeer            Aspect = "peer"              // another peer would do
	OfExcept          Aspect = "except"            // the address is in an except of the ipBlock
)

// differences counts the things that would have to be otherwise: each requirement of a selector by itself.
func (m *Miss) differences() int {
	n := 0
	for _, d := range m.Differences {
		n += d.weight
	}
	return n
}

func (c *connection) miss(r *rule, peer *end) Miss {
	m := Miss{RuleRef: r.ref}
	if r.matchPorts(c.PortProto, c.to.pod) == no {
		m.Differences = append(m.Differences, c.portDifference(r))
	}
	if r.matchPeers(*peer) == no {
		m.Differences = append(m.Differences, peerDifference(r, peer))
	}
	return m
}

func (c *connection) portDifference(r *rule) Difference {
	var nearest Difference
	var all []string
	for _, p := range r.ports {
		d := p.difference(c.PortProto, &c.to)
		all = append(all, d.Nearest)
		if nearest.weight == 0 || d.weight < nearest.weight {
			nearest = d
		}
	}
	nearest.Allowed = all
	return nearest
}

// difference says why p does not match q.
func (p port) difference(q flow.PortProto, to *end) Difference {
	d := Difference{Of: OfPort, Nearest: p.describe(to), Given: q.String(), weight: 1}
	sameNumber := p.matches(flow.PortProto{Protocol: p.protocol, Port: q.Port}, to.pod) != no
	switch {
	case p.protocol == q.Protocol:
	case sameNumber:
		d.Of = OfProtocol
	default:
		d.Of, d.weight = OfProtocolAndPort, 2
	}
	return d
}

func peerDifference(r *rule, e *end) Difference {
	var nearest Difference
	var all []string
	for i := range r.peers {
		d := r.peers[i].difference(e)
		all = append(all, d.Nearest)
		if nearest.weight == 0 || d.weight < nearest.weight {
			nearest = d
		}
	}
	nearest.Allowed = all
	return nearest
}

// difference says why p does not match e.
func (p *peer) difference(e *end) Difference {
	d := Difference{Of: OfPeer, Nearest: p.describe(), weight: 1}
	switch except := p.block.excepting(e.addr); {
	case except.IsValid():
		d.Of, d.Except, d.Given = OfExcept, except.String(), e.at()+" is in the except"
	case p.block != nil:
		d.Given = e.at() + " is not in it"
	case e.pod == nil:
		d.Given, d.weight = e.name+" is no pod", 2
	default:
		d.Given, d.weight = p.selectorDifference(e.pod)
	}
	return d
}

// excepting returns the except that holds a, invalid if there is none or b is nil.
func (b *block) excepting(a netip.Addr) netip.Prefix {
	if b != nil && b.cidr.Contains(a) {
		for _, except := range b.except {
			if except.Contains(a) {
				return except
			}
		}
	}
	return netip.Prefix{}
}

// selectorDifference says what labels a pod and its namespace have instead of those that p asks for, and how many of
// them are not as they should be.
func (p *peer) selectorDifference(target *pod) (given string, weight int) {
	var facts []string
	if p.namespaces == nil && target.key.Namespace != p.namespace {
		facts, weight = append(facts, target.name+" is in namespace "+target.key.Namespace), 1
	}
	if p.namespaces != nil {
		failing := unmet(p.namespaces, target.namespaceLabels)
		facts = append(facts, labelFacts("namespace "+target.key.Namespace, target.namespaceLabels, failing)...)
		weight += len(failing)
	}
	failing := unmet(p.pods, target.labels)
	facts = append(facts, labelFacts(target.name, target.labels, failing)...)
	return list(facts), max(1, weight+len(failing))
}

// unmet returns the keys of the requirements of s that set does not meet.
func unmet(s labels.Selector, set labels.Set) []string {
	var keys []string
	requirements, _ := s.Requirements()
	for _, r := range requirements {
		if !r.Matches(set) {
			keys = append(keys, r.Key())
		}
	}
	return keys
}
