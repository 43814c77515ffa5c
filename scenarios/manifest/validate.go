package manifest

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/validation"
)

// Validate says what the API server would refuse in o, at the places where it stands. An object with a resourceVersion
// was accepted by some API server already, perhaps by an older one, whose laxer forms of addresses stay valid.
func Validate(o Object) Errors {
	opts := validation.Options{LegacyIP: o.Value.GetResourceVersion() != ""}
	var errs Errors
	for _, err := range fieldErrors(o.Value, opts) {
		errs = append(errs, o.at(err))
	}
	return errs
}

func fieldErrors(o KubeObject, opts validation.Options) field.ErrorList {
	switch o := o.(type) {
	case *corev1.Namespace:
		return validation.Namespace(o, opts)
	case *corev1.Node:
		return validation.Node(o, opts)
	case *corev1.Pod:
		return validation.Pod(o, opts)
	case *corev1.Service:
		return validation.Service(o, opts)
	case *networkingv1.NetworkPolicy:
		return validation.NetworkPolicy(o, opts)
	case *discoveryv1.EndpointSlice:
		return validation.EndpointSlice(o, opts)
	}
	return field.ErrorList{field.TypeInvalid(nil, o.GetName(), "is of a kind that is not read")}
}

// at turns the path of a field error into a place in the file.
func (o Object) at(err *field.Error) *Error {
	return o.Node.At(err.Field).Errorf("%s: %s", o.Key, err)
}

// validateCluster names two owners of one address once, although a Service states its first address in two fields.
func validateCluster(c *model.Cluster, objects map[Key]Object) Errors {
	type clash struct {
		key    Key
		detail string
		value  any
	}
	var errs Errors
	seen := map[clash]bool{}
	for _, err := range validation.Cluster(c) {
		key := Key{err.Kind, err.Namespace, err.Name}
		found := clash{key, err.Err.Detail, err.Err.BadValue}
		if !seen[found] {
			seen[found] = true
			errs = append(errs, objects[key].at(err.Err))
		}
	}
	return errs
}
