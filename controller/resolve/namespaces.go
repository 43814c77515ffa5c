package resolve

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// namespace is what selectors see of a namespace.
type namespace struct {
	name   string
	exists bool // its object was seen; else it is here for its pods or policies, whose events came earlier
	labels labels.Set
	pods   []*pod          // sorted by name
	own    *scope          // of this namespace alone; nil without policies that need it
	scopes map[*scope]bool // that selectors of namespaces put it in
}

// SetNamespace takes in a new namespace or one whose labels may have changed, and returns the policies that this
// touches.
func (x *Index) SetNamespace(o *corev1.Namespace) []types.NamespacedName {
	n := x.namespaceOf(o.Name)
	n.exists = true
	return x.relabel(n, namespaceLabels(o.Name, o.Labels))
}

// DeleteNamespace forgets the labels of a namespace and returns the policies that this touches.
func (x *Index) DeleteNamespace(name string) []types.NamespacedName {
	n := x.namespaces[name]
	if n == nil {
		return nil
	}
	n.exists = false
	touched := x.relabel(n, namespaceLabels(name, nil))
	x.tidy(n)
	return touched
}

// relabel moves n into the scopes that its labels put it in now.
func (x *Index) relabel(n *namespace, l labels.Set) []types.NamespacedName {
	if maps.Equal(n.labels, l) {
		return nil
	}
	n.labels = l
	now := map[*scope]bool{}
	for _, sc := range x.scopeTable.matching(l) {
		now[sc] = true
	}
	touched := touchedSet{}
	for sc := range n.scopes {
		if !now[sc] {
			delete(sc.namespaces, n.name)
			touched.through(sc, func(s *selection) bool { return s.leave(n) })
		}
	}
	for sc := range now {
		if !n.scopes[sc] {
			sc.namespaces[n.name] = n
			touched.through(sc, func(s *selection) bool { return s.join(n) })
		}
	}
	n.scopes = now
	return touched.sorted()
}

// namespaceOf returns the namespace called name. One whose object is still to come has the label that every namespace
// has.
func (x *Index) namespaceOf(name string) *namespace {
	if known := x.namespaces[name]; known != nil {
		return known
	}
	n := &namespace{name: name, scopes: map[*scope]bool{}, labels: namespaceLabels(name, nil)}
	x.namespaces[name] = n
	for _, sc := range x.scopeTable.matching(n.labels) {
		sc.namespaces[name], n.scopes[sc] = n, true
	}
	return n
}

// tidy forgets n if nothing is known of it.
func (x *Index) tidy(n *namespace) {
	if n.exists || len(n.pods) > 0 || n.own != nil {
		return
	}
	for sc := range n.scopes {
		delete(sc.namespaces, n.name)
	}
	delete(x.namespaces, n.name)
}

// namespaceLabels adds the label that the API server puts on every namespace, whatever a client removes.
func namespaceLabels(name string, own map[string]string) labels.Set {
	set := labels.Set{}
	maps.Copy(set, own)
	set[corev1.LabelMetadataName] = name
	return set
}
