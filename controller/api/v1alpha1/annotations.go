package v1alpha1

import (
	"fmt"
	"strconv"
	"strings"
)

// What this project adds to a PolicyEndpoint. Consumers that do not know these annotations lose attribution and the
// certainty that a set is complete, nothing else.
const (
	// IngressRulesAnnotation and EgressRulesAnnotation tell which rule of the policy each entry of spec.ingress and
	// spec.egress comes from, in the form of EncodeRules. Absent where the list is empty.
	IngressRulesAnnotation = "palisade.dev/ingress-rules"
	EgressRulesAnnotation  = "palisade.dev/egress-rules"

	// ChunkHashAnnotation stands on every object of a policy: a hash of what the object says.
	ChunkHashAnnotation = "palisade.dev/chunk-hash"
	// SetHashAnnotation and ChunkCountAnnotation stand on one object of a policy only, so that a change of one pod
	// rewrites the chunk it is in and this object, not every chunk. See Completeness.
	SetHashAnnotation    = "palisade.dev/set-hash"
	ChunkCountAnnotation = "palisade.dev/chunk-count"

	// PolicyAnnotation and NamedPortsAnnotation stand on the objects of a variant: a policy as it is published for those
	// of its pods that resolve the named ports of its ingress rules alike. They are the policy's name, which
	// policyRef.name is not then, and what the names mean, for example "http/TCP=80,metrics/TCP=9090+9091".
	PolicyAnnotation     = "palisade.dev/policy"
	NamedPortsAnnotation = "palisade.dev/named-ports"
)

// PolicyName returns the name of the NetworkPolicy that o is a part of. Earlier versions wrote "web:http/TCP=80" into
// policyRef.name; a colon cannot occur in an object's name.
func PolicyName(o *PolicyEndpoint) string {
	if name := o.Annotations[PolicyAnnotation]; name != "" {
		return name
	}
	name, _, _ := strings.Cut(o.Spec.PolicyRef.Name, ":")
	return name
}

// EncodeRules writes the rule index of each entry of a list as runs: [0 0 0 1] is "0*3,1*1".
func EncodeRules(rules []int) string {
	var b strings.Builder
	for start := 0; start < len(rules); {
		end := start + 1
		for end < len(rules) && rules[end] == rules[start] {
			end++
		}
		if start > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d*%d", rules[start], end-start)
		start = end
	}
	return b.String()
}

// DecodeRules reads what EncodeRules wrote for a list of n entries. It fails unless s speaks of exactly n entries.
func DecodeRules(s string, n int) ([]int, error) {
	rules := make([]int, 0, n)
	if s == "" && n == 0 {
		return rules, nil
	}
	for run := range strings.SplitSeq(s, ",") {
		rule, count, err := decodeRun(run)
		if err != nil {
			return nil, err
		}
		if count > n-len(rules) {
			return nil, fmt.Errorf("rule annotation speaks of more than the %d entries there are", n)
		}
		for range count {
			rules = append(rules, rule)
		}
	}
	if len(rules) != n {
		return nil, fmt.Errorf("rule annotation speaks of %d entries of %d", len(rules), n)
	}
	return rules, nil
}

// decodeRun reads one "RULE*COUNT".
func decodeRun(run string) (rule, count int, err error) {
	left, right, _ := strings.Cut(run, "*")
	r, err := strconv.ParseUint(left, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("rule annotation: %q is not RULE*COUNT", run)
	}
	c, err := strconv.ParseUint(right, 10, 31)
	if err != nil || c == 0 {
		return 0, 0, fmt.Errorf("rule annotation: %q is not RULE*COUNT", run)
	}
	return int(r), int(c), nil
}
