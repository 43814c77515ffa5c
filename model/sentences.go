package model

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Sentences explains d in plain English: one sentence for each half, egress first, or a single one where no half
// decided. Rules are counted from 1, as people do.
func (d Decision) Sentences() []string {
	if d.Reason != "" {
		return []string{d.wholeSentence()}
	}
	return []string{d.sentence(flow.Egress), d.sentence(flow.Ingress)}
}

// Sentences explains e in plain English: those of the decision, each followed by what nearly matched and by what
// Palisade's enforcement does where the API leaves the answer open. Backends tell their own.
func (e Explanation) Sentences() []string {
	if e.Reason != "" {
		return withMore([]string{e.wholeSentence()}, e.Enforcement)
	}
	var all []string
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		all = append(all, e.sentence(dir))
		all = append(all, e.Halves[dir].sentences(dir, e.half(dir))...)
	}
	return all
}

// sentences tells what the sentence of h leaves out.
func (e HalfExplanation) sentences(dir flow.Direction, h Half) []string {
	var all []string
	switch {
	case e.Nearest != nil:
		all = append(all, e.Nearest.sentence())
	case len(e.Elsewhere) > 0:
		all = append(all, fmt.Sprintf("%s %s it for %s only.",
			policies(e.Elsewhere), agree(len(e.Elsewhere), "selects", "select"), dir.Opposite()))
	case h.Verdict != flow.Allow && len(h.Rules) == 0:
		all = append(all, fmt.Sprintf("%s no %s rules at all.", agree(len(h.Isolating), "It has", "They have"), dir))
	}
	return withMore(all, e.Enforcement)
}

func withMore(sentences []string, more string) []string {
	if more == "" {
		return sentences
	}
	return append(sentences, more)
}

// sentence says what the rule would need to match.
func (m *Miss) sentence() string {
	var misses []string
	for _, d := range m.Differences {
		misses = append(misses, "for "+d.phrase())
	}
	return fmt.Sprintf("%s rule %d of %s would match but %s.",
		capital(m.Direction), m.Index+1, m.PolicyRef, strings.Join(misses, "; and "))
}

func (d Difference) phrase() string {
	protocol, port, _ := strings.Cut(d.Given, "/")
	switch d.Of {
	case OfProtocol:
		return fmt.Sprintf("protocol %s: it allows %s", protocol, list(d.Allowed))
	case OfPort:
		return fmt.Sprintf("port %s: it allows %s", port, list(d.Allowed))
	case OfProtocolAndPort:
		return fmt.Sprintf("%s: it allows %s", d.Given, list(d.Allowed))
	}
	what, among := "the peer", ""
	if d.Of == OfExcept {
		what = "the except " + d.Except
	}
	if len(d.Allowed) > 1 {
		among = fmt.Sprintf(" (the nearest of %d peers)", len(d.Allowed))
	}
	return fmt.Sprintf("%s: it allows %s%s, and %s", what, d.Nearest, among, d.Given)
}

func (d Decision) half(dir flow.Direction) Half {
	if dir == flow.Ingress {
		return d.Ingress
	}
	return d.Egress
}

func (d Decision) wholeSentence() string {
	port := flow.PortProto{Protocol: d.Tuple.Protocol, Port: d.Tuple.DstPort}
	switch d.Reason {
	case Self:
		return fmt.Sprintf("%s reaches itself: a pod cannot block access to itself.", d.From)
	case NotRunning:
		return fmt.Sprintf("There is no connection from %s to %s to judge: one of them has ended.", d.From, d.To)
	case NoAddress:
		return fmt.Sprintf("There is no connection from %s to %s to judge: one of them has no address.", d.From, d.To)
	case NoCommonFamily:
		return fmt.Sprintf("There is no connection from %s to %s to judge: they have no address family in common.",
			d.From, d.To)
	case BackendsDiffer:
		return fmt.Sprintf("The policies allow some backends of %s on %s and not others; which one is taken is chance.",
			d.To, port)
	case NoBackend:
		return fmt.Sprintf("%s has no backend that is ready on %s.", d.To, port)
	case NoServicePort:
		return fmt.Sprintf("%s has no port %s.", d.To, port)
	case NoClusterIP:
		return fmt.Sprintf("%s has no ClusterIP of this address family.", d.To)
	}
	return fmt.Sprintf("%s to %s on %s: %s (%s).", d.From, d.To, port, d.Verdict, d.Reason)
}

func (d Decision) sentence(dir flow.Direction) string {
	h, subject, peer := d.half(dir), d.From, d.To
	if dir == flow.Ingress {
		subject, peer = peer, subject
	}
	return fmt.Sprintf("%s of %s is %s: %s.", capital(dir.String()), subject, past(h.Verdict), d.because(h, dir, peer))
}

// because says why h is what it is.
func (d Decision) because(h Half, dir flow.Direction, peer string) string {
	switch h.Reason {
	case NotAPod:
		return "it is not a pod, so no policy applies to it"
	case NotIsolated:
		return fmt.Sprintf("no policy selects it for %s", dir)
	case RuleMatched:
		return fmt.Sprintf("%s %s %s", rules(h.Rules), agree(len(h.Rules), "allows", "allow"), d.what(dir, peer))
	case LocalNode:
		return fmt.Sprintf("%s is its own node, which may always reach its pods", peer)
	}
	denied := fmt.Sprintf("%s %s it, and no %s rule there allows %s",
		policies(h.Isolating), agree(len(h.Isolating), "selects", "select"), dir, d.what(dir, peer))
	if h.Reason == NoRuleMatched {
		return denied
	}
	return d.permitted(h) + ", so the API leaves the answer open"
}

// permitted says which freedom the API gives where h is undefined.
func (d Decision) permitted(h Half) string {
	isolated := fmt.Sprintf("%s %s it", policies(h.Isolating), agree(len(h.Isolating), "selects", "select"))
	switch h.Reason {
	case HostNetwork:
		return isolated + ", but policies need not apply to hostNetwork pods, nor selectors select them"
	case PodToOwnNode:
		return isolated + ", but traffic to the pod's own node may be exempt"
	case InitContainerPort:
		return fmt.Sprintf("%s %s it by a port name that only a plain init container declares",
			rules(h.Rules), agree(len(h.Rules), "allows", "allow"))
	case ProtocolNotCovered:
		return fmt.Sprintf("%s, but policies speak of TCP, UDP and SCTP only, not of %s", isolated, d.Tuple.Protocol)
	case RuleWithoutPorts:
		return fmt.Sprintf("%s %s it on every port, but policies speak of TCP, UDP and SCTP only, not of %s",
			rules(h.Rules), agree(len(h.Rules), "allows", "allow"), d.Tuple.Protocol)
	case ServiceToSelf:
		return isolated + ", but the pod reaches itself through a Service"
	}
	return string(h.Reason)
}

// what names the traffic as the subject sees it.
func (d Decision) what(dir flow.Direction, peer string) string {
	preposition := "to"
	if dir == flow.Ingress {
		preposition = "from"
	}
	at := ""
	if addr := d.peerAddr(dir); addr.IsValid() && addr.String() != peer {
		at = " (" + addr.String() + ")"
	}
	port := flow.PortProto{Protocol: d.Tuple.Protocol, Port: d.Tuple.DstPort}
	return fmt.Sprintf("%s %s %s%s", port, preposition, peer, at)
}

func (d Decision) peerAddr(dir flow.Direction) netip.Addr {
	if dir == flow.Ingress {
		return d.Tuple.Src
	}
	return d.Tuple.Dst
}

// rules lists rules as "ingress rule 1 of a/b and ingress rule 2 of a/c".
func rules(refs []RuleRef) string {
	var words []string
	for _, r := range refs {
		words = append(words, fmt.Sprintf("%s rule %d of %s", r.Direction, r.Index+1, r.PolicyRef))
	}
	return list(words)
}

func policies(refs []PolicyRef) string {
	var words []string
	for _, r := range refs {
		words = append(words, r.String())
	}
	return list(words)
}

// list joins words as in a sentence, and only counts the rest where there are many.
func list(words []string) string {
	const most = 4
	if len(words) > most {
		words = append(words[:most:most], fmt.Sprintf("%d more", len(words)-most))
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// past returns the participle of a verdict.
func past(v flow.Verdict) string {
	switch v {
	case flow.Allow:
		return "allowed"
	case flow.Deny:
		return "denied"
	}
	return "undefined"
}

func agree(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
