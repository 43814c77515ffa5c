package main

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The cuts of an object: each takes one part away from a copy of it.

type policyCut = func(*networkingv1.NetworkPolicy)

func cutPolicy(np *networkingv1.NetworkPolicy) []policyCut {
	cuts := cutsOf(len(np.Spec.Ingress), func(np *networkingv1.NetworkPolicy, i int) { drop(&np.Spec.Ingress, i) })
	cuts = append(cuts, cutsOf(len(np.Spec.Egress), func(np *networkingv1.NetworkPolicy, i int) { drop(&np.Spec.Egress, i) })...)
	cuts = append(cuts, cutSelector(&np.Spec.PodSelector, func(np *networkingv1.NetworkPolicy) *metav1.LabelSelector {
		return &np.Spec.PodSelector
	})...)
	for i, r := range np.Spec.Ingress {
		cuts = append(cuts, cutRule(r.From, r.Ports, func(np *networkingv1.NetworkPolicy) (*peers, *ports) {
			return &np.Spec.Ingress[i].From, &np.Spec.Ingress[i].Ports
		})...)
	}
	for i, r := range np.Spec.Egress {
		cuts = append(cuts, cutRule(r.To, r.Ports, func(np *networkingv1.NetworkPolicy) (*peers, *ports) {
			return &np.Spec.Egress[i].To, &np.Spec.Egress[i].Ports
		})...)
	}
	return cuts
}

type (
	peers = []networkingv1.NetworkPolicyPeer
	ports = []networkingv1.NetworkPolicyPort
)

// cutRule cuts a rule that the function finds in a copy of its policy.
func cutRule(from peers, on ports, in func(*networkingv1.NetworkPolicy) (*peers, *ports)) []policyCut {
	cuts := cutsOf(len(from), func(np *networkingv1.NetworkPolicy, i int) { p, _ := in(np); drop(p, i) })
	cuts = append(cuts, cutsOf(len(on), func(np *networkingv1.NetworkPolicy, i int) { _, p := in(np); drop(p, i) })...)
	for i, peer := range from {
		if b := peer.IPBlock; b != nil {
			cuts = append(cuts, cutsOf(len(b.Except), func(np *networkingv1.NetworkPolicy, j int) {
				p, _ := in(np)
				drop(&(*p)[i].IPBlock.Except, j)
			})...)
		}
		cuts = append(cuts, cutSelector(peer.PodSelector, func(np *networkingv1.NetworkPolicy) *metav1.LabelSelector {
			p, _ := in(np)
			return (*p)[i].PodSelector
		})...)
		cuts = append(cuts, cutSelector(peer.NamespaceSelector, func(np *networkingv1.NetworkPolicy) *metav1.LabelSelector {
			p, _ := in(np)
			return (*p)[i].NamespaceSelector
		})...)
	}
	return cuts
}

// cutSelector cuts a selector, if there is one, that the function finds in a copy of its policy.
func cutSelector(s *metav1.LabelSelector, in func(*networkingv1.NetworkPolicy) *metav1.LabelSelector) []policyCut {
	if s == nil {
		return nil
	}
	cuts := cutsOf(len(s.MatchExpressions), func(np *networkingv1.NetworkPolicy, i int) { drop(&in(np).MatchExpressions, i) })
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		cuts = append(cuts, func(np *networkingv1.NetworkPolicy) { delete(in(np).MatchLabels, key) })
	}
	return cuts
}

func cutPod(p *corev1.Pod) []func(*corev1.Pod) {
	cuts := cutsOf(len(p.Spec.InitContainers), func(p *corev1.Pod, i int) { drop(&p.Spec.InitContainers, i) })
	for i, c := range p.Spec.Containers {
		cuts = append(cuts, cutsOf(len(c.Ports), func(p *corev1.Pod, j int) { drop(&p.Spec.Containers[i].Ports, j) })...)
	}
	for i := range len(p.Spec.Containers) - 1 {
		cuts = append(cuts, func(p *corev1.Pod) { drop(&p.Spec.Containers, i+1) })
	}
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		cuts = append(cuts, func(p *corev1.Pod) { delete(p.Labels, key) })
	}
	return cuts
}

func cutNamespace(n *corev1.Namespace) []func(*corev1.Namespace) {
	var cuts []func(*corev1.Namespace)
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		if key != corev1.LabelMetadataName {
			cuts = append(cuts, func(n *corev1.Namespace) { delete(n.Labels, key) })
		}
	}
	return cuts
}

// cutsOf makes a cut for each of n parts.
func cutsOf[T any](n int, cut func(T, int)) []func(T) {
	var cuts []func(T)
	for i := range n {
		cuts = append(cuts, func(o T) { cut(o, i) })
	}
	return cuts
}

// drop takes an element out of a list.
func drop[T any](list *[]T, i int) { *list = slices.Delete(*list, i, i+1) }
