package model

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Model answers queries about one Cluster. It never changes its answers and is safe for concurrent use.
type Model struct {
	namespaces map[string]labels.Set
	pods       map[*corev1.Pod]*pod
	order      []*pod // of Cluster.Pods
	podByKey   map[types.NamespacedName]*pod
	podByAddr  map[netip.Addr]*pod // running pods with a network of their own
	hosts      hosts
	policies   map[string][]*policy // by namespace, sorted by name
	services   services
}

// New reads c, which must not change while the Model is in use.
func New(c *Cluster) *Model {
	m := &Model{
		namespaces: readNamespaces(c.Namespaces),
		pods:       make(map[*corev1.Pod]*pod, len(c.Pods)),
		podByKey:   make(map[types.NamespacedName]*pod, len(c.Pods)),
		podByAddr:  make(map[netip.Addr]*pod, len(c.Pods)),
		hosts:      readHosts(c),
		policies:   readPolicies(c.Policies),
		services:   readServices(c),
	}
	for _, p := range c.Pods {
		m.addPod(p)
	}
	return m
}

func (m *Model) addPod(p *corev1.Pod) {
	info := m.readPod(p)
	info.index = len(m.order)
	m.order = append(m.order, info)
	m.pods[p] = info
	m.podByKey[info.key] = info
	if info.ended || info.hostNetwork {
		return
	}
	for _, a := range info.addrs {
		if other := m.podByAddr[a]; other == nil || info.newerThan(other) {
			m.podByAddr[a] = info
		}
	}
}

// readPod also works out which policies isolate the pod, so that a query need not.
func (m *Model) readPod(p *corev1.Pod) *pod {
	info := newPod(p, m.namespaceLabels(p.Namespace), m.hosts.of(p))
	for _, policy := range m.policies[p.Namespace] {
		if !policy.subjects.Matches(info.labels) {
			continue
		}
		for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
			if policy.isolates[dir] {
				info.isolating[dir] = append(info.isolating[dir], policy)
				info.isolatingRefs[dir] = append(info.isolatingRefs[dir], policy.ref)
			}
		}
	}
	return info
}

// podOf finds p, or another object of the same name; a pod the cluster does not have is judged as if it had.
func (m *Model) podOf(p *corev1.Pod) *pod {
	if info, ok := m.pods[p]; ok {
		return info
	}
	if info, ok := m.podByKey[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}]; ok {
		return info
	}
	return m.readPod(p)
}

func readNamespaces(namespaces []*corev1.Namespace) map[string]labels.Set {
	byName := make(map[string]labels.Set, len(namespaces))
	for _, ns := range namespaces {
		byName[ns.Name] = withNameLabel(ns.Labels, ns.Name)
	}
	return byName
}

func (m *Model) namespaceLabels(name string) labels.Set {
	if set, ok := m.namespaces[name]; ok {
		return set
	}
	return withNameLabel(nil, name)
}

// withNameLabel adds the label that the API server puts on every namespace, whatever was written there before.
func withNameLabel(set map[string]string, name string) labels.Set {
	all := make(labels.Set, len(set)+1)
	maps.Copy(all, set)
	all[corev1.LabelMetadataName] = name
	return all
}

func readPolicies(policies []*networkingv1.NetworkPolicy) map[string][]*policy {
	byNamespace := map[string][]*policy{}
	for _, p := range policies {
		byNamespace[p.Namespace] = append(byNamespace[p.Namespace], newPolicy(p))
	}
	for _, list := range byNamespace {
		slices.SortStableFunc(list, func(a, b *policy) int { return cmp.Compare(a.ref.Name, b.ref.Name) })
	}
	return byNamespace
}
