// Package endpointslice does the part of the EndpointSlice controller that network policies depend on, so that a
// cluster given as Pods and Services alone behaves like a real one.
//
// It follows the controller of Kubernetes except in two points that only matter for hand-written objects: a pod without
// any conditions counts as ready while it runs, and a targetPort that is left out is the port, although the API server
// would have filled it in. Topology (zones, hints) is left out.
package endpointslice

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	managedBy = "endpointslice-controller.k8s.io" // who owns the slices, as the real controller says it
	perSlice  = 100                               // endpoints, the default of kube-controller-manager
)

// Build returns the EndpointSlices of services, sorted by namespace and name: for those with a selector what the
// controller would make of pods, and from existing all that the controller would leave alone, which is how Services
// without a selector get endpoints. The result is the same whatever the order of the arguments.
func Build(
	services []*corev1.Service, pods []*corev1.Pod, existing []*discoveryv1.EndpointSlice,
) []*discoveryv1.EndpointSlice {
	managed := map[owner]bool{}
	var all []*discoveryv1.EndpointSlice
	for _, s := range services {
		if len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName {
			managed[owner{s.Namespace, s.Name}] = true
			all = append(all, slicesOf(s, pods)...)
		}
	}
	for _, e := range existing {
		replaced := managed[owner{e.Namespace, e.Labels[discoveryv1.LabelServiceName]}]
		if !replaced || e.Labels[discoveryv1.LabelManagedBy] != managedBy {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b *discoveryv1.EndpointSlice) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// owner names a Service.
type owner struct{ namespace, name string }

// slicesOf makes the slices of one Service: per family and per set of port numbers, since a named targetPort may mean
// another number on every pod.
func slicesOf(s *corev1.Service, pods []*corev1.Pod) []*discoveryv1.EndpointSlice {
	selected := selectPods(s, pods)
	var all []*discoveryv1.EndpointSlice
	for _, family := range families(s) {
		groups := map[string]*group{}
		for _, p := range selected {
			if addrs := addresses(p, family); len(addrs) > 0 {
				g := groupFor(groups, endpointPorts(s, p))
				g.endpoints = append(g.endpoints, endpoint(s, p, addrs))
			}
		}
		if len(groups) == 0 {
			groups[""] = &group{}
		}
		for _, key := range slices.Sorted(maps.Keys(groups)) {
			all = append(all, groups[key].slices(s, family, key)...)
		}
	}
	return all
}

// selectPods returns the pods that have endpoints, sorted by name. Those that have ended have none; those that are
// terminating and those on the host network do.
func selectPods(s *corev1.Service, pods []*corev1.Pod) []*corev1.Pod {
	selector := labels.SelectorFromSet(s.Spec.Selector)
	var selected []*corev1.Pod
	for _, p := range pods {
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if p.Namespace == s.Namespace && !ended && selector.Matches(labels.Set(p.Labels)) {
			selected = append(selected, p)
		}
	}
	slices.SortFunc(selected, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return selected
}

// group is the endpoints of a Service that listen on the same port numbers.
type group struct {
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

func groupFor(groups map[string]*group, ports []discoveryv1.EndpointPort) *group {
	var key []byte
	for _, p := range ports {
		key = fmt.Appendf(key, "%q %s %d\n", *p.Name, *p.Protocol, *p.Port)
	}
	if groups[string(key)] == nil {
		groups[string(key)] = &group{ports: ports}
	}
	return groups[string(key)]
}

// slices writes g as one EndpointSlice per 100 endpoints, and as one if there is none.
func (g *group) slices(s *corev1.Service, family discoveryv1.AddressType, key string) []*discoveryv1.EndpointSlice {
	parts := slices.Collect(slices.Chunk(g.endpoints, perSlice))
	if len(parts) == 0 {
		parts = [][]discoveryv1.Endpoint{nil}
	}
	controller := *metav1.NewControllerRef(s, corev1.SchemeGroupVersion.WithKind("Service"))
	var all []*discoveryv1.EndpointSlice
	for i, part := range parts {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %d", family, key, i))
		all = append(all, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace:       s.Namespace,
				Name:            s.Name + "-" + hex.EncodeToString(sum[:5]),
				Labels:          sliceLabels(s),
				OwnerReferences: []metav1.OwnerReference{controller},
			},
			AddressType: family,
			Endpoints:   part,
			Ports:       g.ports,
		})
	}
	return all
}

// sliceLabels copies the Service's labels and adds those by which consumers find the slices.
func sliceLabels(s *corev1.Service) map[string]string {
	l := map[string]string{}
	maps.Copy(l, s.Labels)
	l[discoveryv1.LabelServiceName] = s.Name
	l[discoveryv1.LabelManagedBy] = managedBy
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		l[corev1.IsHeadlessService] = ""
	}
	return l
}
