package main

import (
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/hack/cluster"
)

// The cluster of the scale run is many small ones: a namespace has appsPerNamespace applications with one policy
// each, and teamSize namespaces belong to a team. An application's pods are reached by the next application of their
// namespace and by the like-named ones of their team, and reach the one after the next and a block of addresses.
const (
	appsPerNamespace = 20
	teamSize         = 5
)

// size is how large a cluster is.
type size struct{ policies, pods, nodes int }

func (s size) validate() error {
	var errs []error
	if s.policies < 1 || s.policies%(appsPerNamespace*teamSize) != 0 {
		errs = append(errs, fmt.Errorf("-policies: %d is no multiple of %d", s.policies, appsPerNamespace*teamSize))
	}
	if s.policies > 0 && (s.pods < 1 || s.pods%s.policies != 0) {
		errs = append(errs, fmt.Errorf("-pods: %d is no multiple of the number of policies", s.pods))
	}
	if s.nodes < 1 || s.nodes > 250 {
		errs = append(errs, fmt.Errorf("-nodes: %d is not within 1 to 250", s.nodes))
	}
	if s.pods > 200*250 {
		errs = append(errs, fmt.Errorf("-pods: %d are more than there are addresses for", s.pods))
	}
	return errors.Join(errs...)
}

func (s size) namespaces() int   { return s.policies / appsPerNamespace }
func (s size) replicas() int     { return s.pods / s.policies }
func (s size) ingressPeers() int { return (1 + teamSize) * s.replicas() }
func (s size) egressPeers() int  { return s.replicas() + 1 } // and the block
func namespaceName(i int) string { return fmt.Sprintf("ns-%03d", i) }
func appName(i int) string       { return fmt.Sprintf("app-%02d", i%appsPerNamespace) }
func nodeAddr(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 250, 0, byte(i + 1)}) }
func selects(k, v string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
}

func namespaceOf(i int) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespaceName(i), Labels: map[string]string{"team": fmt.Sprintf("team-%02d", i/teamSize)},
	}}
}

// policyOf is the i-th policy of the cluster.
func policyOf(i int) *networkingv1.NetworkPolicy {
	ns, port := i/appsPerNamespace, intstr.FromInt32(8080)
	team := namespaceOf(ns).Labels["team"]
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(ns), Name: appName(i)}}
	p.Spec.PodSelector = *selects("app", appName(i))
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
		Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
		From: []networkingv1.NetworkPolicyPeer{
			{PodSelector: selects("app", appName(i+1))},
			{NamespaceSelector: selects("team", team), PodSelector: selects("app", appName(i))},
		},
	}}
	p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
		Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
		To: []networkingv1.NetworkPolicyPeer{
			{PodSelector: selects("app", appName(i+2))}, {IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}},
		},
	}}
	return p
}

// replica is a pod of the scale run, and how often it was replaced.
type replica struct{ number, generation int }

// app is the number of its policy.
func (r replica) app(s size) int { return r.number % s.policies }

// node spreads the pods of an application.
func (r replica) node(s size) int { return (r.number + r.number/s.policies) % s.nodes }

// addr changes with every replacement.
func (r replica) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(r.generation), byte(r.number/250 + 1), byte(r.number%250 + 1)})
}

func (r replica) namespace(s size) string { return namespaceName(r.app(s) / appsPerNamespace) }
func (r replica) name(s size) string {
	return fmt.Sprintf("%s-%d-%d", appName(r.app(s)), r.number, r.generation)
}

func (r replica) pod(s size) *corev1.Pod {
	// As in a rollout, a replacement has a label that none had before: nothing known of the old pod can be reused.
	labels := map[string]string{"app": appName(r.app(s)), "pod-template-hash": fmt.Sprintf("g%d", r.generation)}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace(s), Name: r.name(s), Labels: labels},
		Spec: corev1.PodSpec{
			NodeName: nodeName(r.node(s)), Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
		Status: cluster.Running(nodeAddr(r.node(s)), r.addr()),
	}
}

func nodeName(i int) string { return fmt.Sprintf("node-%03d", i) }
