package main

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model"
)

// shrink takes away from c whatever fails does not need: it returns a cluster of which no part can be taken away.
func shrink(c *model.Cluster, fails func(*model.Cluster) bool) *model.Cluster {
	for {
		smaller := firstThat(fails, smallerClusters(c))
		if smaller == nil {
			return c
		}
		c = smaller
	}
}

func firstThat(fails func(*model.Cluster) bool, all iter.Seq[*model.Cluster]) *model.Cluster {
	for c := range all {
		if fails(c) {
			return c
		}
	}
	return nil
}

// smallerClusters yields c without each of its parts, the large ones first.
func smallerClusters(c *model.Cluster) iter.Seq[*model.Cluster] {
	return func(yield func(*model.Cluster) bool) {
		policies := func(l []*networkingv1.NetworkPolicy) bool { d := *c; d.Policies = l; return yield(&d) }
		pods := func(l []*corev1.Pod) bool { d := *c; d.Pods = l; return yield(&d) }
		namespaces := func(l []*corev1.Namespace) bool { d := *c; d.Namespaces = l; return yield(&d) }
		nodes := func(l []*corev1.Node) bool { d := *c; d.Nodes = l; return yield(&d) }
		_ = shorter(c.Policies, policies) && shorter(c.Pods, pods) && withoutServices(c, yield) &&
			shorter(c.Namespaces, namespaces) && shorter(c.Nodes, nodes) &&
			simpler(c.Policies, cutPolicy, policies) && simpler(c.Pods, cutPod, pods) &&
			simpler(c.Namespaces, cutNamespace, namespaces)
	}
}

func withoutServices(c *model.Cluster, yield func(*model.Cluster) bool) bool {
	if len(c.Services) == 0 {
		return true
	}
	d := *c
	d.Services, d.EndpointSlices = nil, nil
	return yield(&d)
}

// shorter yields list without each of its elements; it ends early, with false, when yield does.
func shorter[T any](list []T, yield func([]T) bool) bool {
	for i := range list {
		if !yield(slices.Delete(slices.Clone(list), i, i+1)) {
			return false
		}
	}
	return true
}

// simpler yields list with one of its objects cut, in every way that cuts knows.
func simpler[T interface{ DeepCopy() T }](list []T, cuts func(T) []func(T), yield func([]T) bool) bool {
	for i, o := range list {
		for _, cut := range cuts(o) {
			changed := slices.Clone(list)
			changed[i] = o.DeepCopy()
			cut(changed[i])
			if !yield(changed) {
				return false
			}
		}
	}
	return true
}
