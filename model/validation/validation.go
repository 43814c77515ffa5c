// Package validation says which objects the Kubernetes API server would refuse, as far as connectivity depends on them:
// names, labels, selectors, addresses, ports, and what of a cluster cannot exist side by side.
//
// The rules are those that kube-apiserver 1.36 applies to new objects; every error is a field.Error with the path of
// the value it is about, so that a caller can point at the place in a file. Defaults need not have been filled in. What
// the semantics of NetworkPolicy do not depend on (volumes, resources, conflicts of host ports, …) is not looked at, so
// an object that passes may still be refused by a real API server.
package validation

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/palisade-netpol/palisade/model"
)

// Options choose between the rules for new objects, which the zero value stands for, and those for stored ones.
type Options struct {
	// LegacyIP accepts addresses and CIDRs that could be stored before Kubernetes 1.36 refused them for new objects
	// (feature gate StrictIPCIDRValidation): leading zeros, IPv4-mapped IPv6 addresses, bits set beyond a CIDR's length.
	// Set it for objects read from a live cluster.
	LegacyIP bool
}

// ObjectError is an error in one object of a cluster.
type ObjectError struct {
	Kind, Namespace, Name string // Namespace is empty for kinds that have none
	Err                   *field.Error
}

// Error returns, for example, `Pod default/a: status.podIP: Duplicate value: "10.0.0.1"`.
func (e ObjectError) Error() string { return fmt.Sprintf("%s: %s", e.object(), e.Err.Error()) }

// Unwrap returns Err.
func (e ObjectError) Unwrap() error { return e.Err }

func (e ObjectError) object() string {
	if e.Namespace == "" {
		return e.Kind + " " + e.Name
	}
	return fmt.Sprintf("%s %s/%s", e.Kind, e.Namespace, e.Name)
}

// Objects validates every object of c by itself, in the order of c.
func Objects(c *model.Cluster, o Options) []ObjectError {
	var errs []ObjectError
	errs = append(errs, each("Namespace", c.Namespaces, o, Namespace)...)
	errs = append(errs, each("Node", c.Nodes, o, Node)...)
	errs = append(errs, each("Pod", c.Pods, o, Pod)...)
	errs = append(errs, each("Service", c.Services, o, Service)...)
	errs = append(errs, each("EndpointSlice", c.EndpointSlices, o, EndpointSlice)...)
	return append(errs, each("NetworkPolicy", c.Policies, o, NetworkPolicy)...)
}

func each[T metav1.Object](
	kind string, objects []T, o Options, validate func(T, Options) field.ErrorList,
) []ObjectError {
	var errs []ObjectError
	for _, object := range objects {
		for _, err := range validate(object, o) {
			errs = append(errs, ObjectError{kind, object.GetNamespace(), object.GetName(), err})
		}
	}
	return errs
}

// inOrder makes the order of errs the same every time: the libraries range over maps of labels, whose errors all have
// the path of the map.
func inOrder(errs field.ErrorList) field.ErrorList {
	for start := 0; start < len(errs); {
		end := start + 1
		for end < len(errs) && errs[end].Field == errs[start].Field {
			end++
		}
		slices.SortStableFunc(errs[start:end], func(a, b *field.Error) int { return cmp.Compare(a.Error(), b.Error()) })
		start = end
	}
	return errs
}
