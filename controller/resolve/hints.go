package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Hint is something in a policy that is valid but hardly what its author meant.
type Hint struct {
	Reason HintReason
	Text   string // one sentence that names the place in the policy
}

// HintReason is a word in the style of the reasons of Kubernetes Events.
type HintReason string

// The reasons of hints.
const (
	SelectsNothing  HintReason = "SelectsNothing"  // no pod that policies see, so nothing is isolated
	UnknownPortName HintReason = "UnknownPortName" // a named port that no pod concerned declares, so it opens nothing
	HostBitsSet     HintReason = "HostBitsSet"     // an ipBlock that means more than the address it begins with
)

// hostBits notes a CIDR whose address is not the first of its prefix.
func (p *parser) hostBits(path *field.Path, written string, prefix netip.Prefix) {
	as, err := netip.ParsePrefix(written)
	if err != nil || as == as.Masked() {
		return
	}
	text := fmt.Sprintf("%s: %q has bits set outside of its prefix and means %s", path, written, prefix)
	p.hints = append(p.hints, Hint{HostBitsSet, text})
}

// allHints adds to what parse found what depends on the pods there are.
func (p *parsed) allHints() []Hint {
	hints := slices.Clone(p.hints)
	if p.subjects != nil && len(p.pods()) == 0 {
		hints = append(hints, Hint{SelectsNothing, "spec.podSelector: matches no pod that has an address"})
	}
	for _, r := range p.ingress {
		hints = append(hints, r.unknownNames("ingress", "selected pod", p.pods())...)
	}
	for _, r := range p.egress {
		if len(r.peers.blocks) == 0 { // else pods outside of the selections count too
			hints = append(hints, r.unknownNames("egress", "pod that this rule selects", r.peers.pods())...)
		}
	}
	return hints
}

// unknownNames lists the named ports of r that none of pods declares. No pods at all are no hint.
func (r *rule) unknownNames(direction, whose string, pods []*pod) []Hint {
	var hints []Hint
	for _, name := range r.ports.names {
		declares := func(p *pod) bool { return len(p.ports[name]) > 0 }
		if len(pods) > 0 && !slices.ContainsFunc(pods, declares) {
			text := fmt.Sprintf("spec.%s[%d].ports: no %s declares a %s port named %q",
				direction, r.index, whose, name.protocol, name.name)
			hints = append(hints, Hint{UnknownPortName, text})
		}
	}
	return hints
}
