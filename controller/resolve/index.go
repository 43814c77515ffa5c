package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Index is a Snapshot without its policies, prepared for resolving one policy after another. It is immutable, so it may
// be used from several goroutines.
type Index struct {
	namespaces map[string]*namespace
	names      []string    // of namespaces, sorted
	pods       []*pod      // all that can be peers, sorted by namespace and name
	frontends  []*frontend // sorted by address, protocol and port
}

// namespace is what selectors see of a namespace.
type namespace struct {
	labels labels.Set
	pods   []*pod // sorted by name
}

// NewIndex prepares s. The errors name addresses that could not be understood and are ignored.
func NewIndex(s *Snapshot) (*Index, []error) {
	x := &Index{namespaces: map[string]*namespace{}}
	for _, n := range s.Namespaces {
		x.namespaces[n.Name] = &namespace{labels: namespaceLabels(n.Name, n.Labels)}
	}
	errs := x.addPods(s.Pods)
	x.names = slices.Sorted(maps.Keys(x.namespaces))
	frontends, problems := frontendsOf(s.Services, s.EndpointSlices)
	x.frontends = frontends
	return x, append(errs, problems...)
}

// addPods takes over the pods that selectors can find an address of.
func (x *Index) addPods(pods []*corev1.Pod) []error {
	sorted := slices.SortedFunc(slices.Values(pods), func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	var errs []error
	for _, p := range sorted {
		known, err := newPod(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err))
		}
		if known == nil {
			continue
		}
		ns := x.namespaceOf(p.Namespace)
		ns.pods = append(ns.pods, known)
		x.pods = append(x.pods, known)
	}
	return errs
}

// namespaceOf returns the namespace called name. One that the snapshot lacks, because its event is still to come, has
// the label that every namespace has.
func (x *Index) namespaceOf(name string) *namespace {
	if x.namespaces[name] == nil {
		x.namespaces[name] = &namespace{labels: namespaceLabels(name, nil)}
	}
	return x.namespaces[name]
}

// namespaceLabels adds the label that the API server puts on every namespace, whatever a client removes.
func namespaceLabels(name string, own map[string]string) labels.Set {
	set := labels.Set{}
	maps.Copy(set, own)
	set[corev1.LabelMetadataName] = name
	return set
}

// selectPods returns the pods of ns that s matches.
func (x *Index) selectPods(ns string, s labels.Selector) []*pod {
	n := x.namespaces[ns]
	if n == nil {
		return nil
	}
	var found []*pod
	for _, p := range n.pods {
		if s.Matches(p.labels) {
			found = append(found, p)
		}
	}
	return found
}

// selectNamespaces returns the names of the namespaces that s matches, sorted.
func (x *Index) selectNamespaces(s labels.Selector) []string {
	var found []string
	for _, name := range x.names {
		if s.Matches(x.namespaces[name].labels) {
			found = append(found, name)
		}
	}
	return found
}
