package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// variant is a policy for those of its pods that agree on the named ports of its ingress rules.
type variant struct {
	policy     string // its name
	resolution string // of the named ports, "" if this is the only variant
	pods       []*pod
	named      map[portName][]uint16 // what the names mean on every one of pods
}

// key tells v from all variants of all policies of its namespace: no policy has a colon in its name.
func (v *variant) key() string {
	if v.resolution == "" {
		return v.policy
	}
	return v.policy + ":" + v.resolution
}

// refName returns what policyRef.name says: to agents, each variant is a policy of its own. As agents find it again from
// the name of an object, it is one itself, and short enough for objectName to append to.
func (v *variant) refName() string {
	if v.resolution == "" {
		return v.policy
	}
	return CutName(v.policy, maxRefNameLength-len(".")-suffixLength) + "." + suffix([]byte(v.key()))
}

// variants groups the subjects. There is at least one variant, even if the policy selects no pod.
func (p *parsed) variants() []variant {
	names := p.ingressNames()
	groups := map[string][]*pod{}
	for _, s := range p.pods() {
		key := resolution(names, s)
		groups[key] = append(groups[key], s)
	}
	if len(groups) <= 1 {
		v := variant{policy: p.policy.Name, pods: p.pods()}
		if len(v.pods) > 0 {
			v.named = v.pods[0].ports
		}
		return []variant{v}
	}
	var result []variant
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		pods := groups[key]
		result = append(result, variant{p.policy.Name, key, pods, pods[0].ports})
	}
	return result
}

// ingressNames returns the named ports of the ingress rules, sorted, each once.
func (p *parsed) ingressNames() []portName {
	var names []portName
	for _, r := range p.ingress {
		names = append(names, r.ports.names...)
	}
	slices.SortFunc(names, compareNames)
	return slices.Compact(names)
}

// resolution writes what names mean on p: "dns/UDP=53,http/TCP=80+8080", and "http/TCP=" where p declares no such
// port. Names and protocols contain none of the punctuation.
func resolution(names []portName, p *pod) string {
	var parts []string
	for _, n := range names {
		var numbers []string
		for _, number := range p.ports[n] {
			numbers = append(numbers, fmt.Sprint(number))
		}
		parts = append(parts, fmt.Sprintf("%s/%s=%s", n.name, n.protocol, strings.Join(numbers, "+")))
	}
	return strings.Join(parts, ",")
}
