package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// An API server refuses an object of more than 1.5 MiB. What is counted here is an upper bound of the JSON of a list,
// with room left for what else is in the object.
const (
	maxChunkBytes = 512 << 10
	maxEntryBytes = 1 << 20 // of an entry that has an object for itself
)

// weight is an upper bound of the bytes of e in JSON, without writing it.
func (e entry) weight() int {
	n := len(`{"cidr":"","except":[],"ports":[]},`) + prefixBytes(e.prefix)
	for _, x := range e.except {
		n += len(`"",`) + prefixBytes(x)
	}
	for _, r := range e.ports {
		n += len(`{"protocol":"SCTP","port":65535},`)
		if r.last != r.first {
			n += len(`,"endPort":65535`)
		}
	}
	return n
}

// prefixBytes is the length of the longest prefix of p's family.
func prefixBytes(p netip.Prefix) int {
	if p.Addr().Is4() {
		return len("255.255.255.255/32")
	}
	return len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
}

// podWeight is the bytes of p in JSON.
func podWeight(p v1alpha1.PodEndpoint) int {
	return len(`{"hostIP":"","podIP":"","name":"","namespace":""},`) +
		len(p.HostIP) + len(p.PodIP) + len(p.Name) + len(p.Namespace)
}

// total adds up weights.
func total[T any](list []T, weight func(T) int) int {
	n := 0
	for _, item := range list {
		n += weight(item)
	}
	return n
}

// fitting leaves out the entries of a section that no object can hold: one would keep the whole policy from being
// published. The errors name them.
func (p *parsed) fitting(section string, entries []entry) (fit []entry, errs []error) {
	fit = slices.DeleteFunc(entries, func(e entry) bool {
		if e.weight() <= maxEntryBytes {
			return false
		}
		errs = append(errs, fmt.Errorf("networkpolicy %s/%s: spec.%s[%d]: %v with %d exceptions and %d ports does not fit "+
			"into an object", p.policy.Namespace, p.policy.Name, section, e.rule, e.prefix, len(e.except), len(e.ports)))
		return true
	})
	return fit, errs
}
