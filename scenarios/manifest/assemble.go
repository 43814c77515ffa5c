package manifest

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/sim/endpointslice"
)

// Assemble makes a cluster of objects: sorted by namespace and name, with the Namespaces that the objects live in and
// the EndpointSlices of the Services. Errors name what cannot stand side by side, such as two objects of one name or
// two pods with one address.
func Assemble(objects []Object) (*model.Cluster, Errors) {
	unique, errs := refuseDuplicates(objects)
	c := &model.Cluster{}
	for _, key := range slices.SortedFunc(maps.Keys(unique), compareKeys) {
		add(c, unique[key].Value)
	}
	c.Namespaces = completeNamespaces(c.Namespaces, unique)
	if len(errs) == 0 {
		errs = validateCluster(c, unique)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	c.EndpointSlices = endpointslice.Build(c.Services, c.Pods, c.EndpointSlices)
	return c, nil
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func refuseDuplicates(objects []Object) (map[Key]Object, Errors) {
	unique := make(map[Key]Object, len(objects))
	var errs Errors
	for _, o := range objects {
		if first, ok := unique[o.Key]; ok {
			n := first.Node
			errs = append(errs, o.Node.Errorf("%s is given twice, first at %s:%d:%d", o.Key, n.File, n.Line, n.Col))
			continue
		}
		unique[o.Key] = o
	}
	return unique, errs
}

func add(c *model.Cluster, o KubeObject) {
	switch o := o.(type) {
	case *corev1.Namespace:
		c.Namespaces = append(c.Namespaces, o)
	case *corev1.Node:
		c.Nodes = append(c.Nodes, o)
	case *corev1.Pod:
		c.Pods = append(c.Pods, o)
	case *corev1.Service:
		c.Services = append(c.Services, o)
	case *networkingv1.NetworkPolicy:
		c.Policies = append(c.Policies, o)
	case *discoveryv1.EndpointSlice:
		c.EndpointSlices = append(c.EndpointSlices, o)
	}
}

// completeNamespaces adds the namespaces that objects live in and that nobody gave.
func completeNamespaces(given []*corev1.Namespace, objects map[Key]Object) []*corev1.Namespace {
	byName := map[string]*corev1.Namespace{}
	for key := range objects {
		if key.Namespace != "" && byName[key.Namespace] == nil {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: key.Namespace}}
			defaultNamespace(ns)
			byName[key.Namespace] = ns
		}
	}
	for _, ns := range given {
		byName[ns.Name] = ns
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *corev1.Namespace) int {
		return cmp.Compare(a.Name, b.Name)
	})
}
