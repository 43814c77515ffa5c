package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNamespacesAreRenamedBothWays(t *testing.T) {
	n := newNames("run-ab12c-1-", map[string]string{"node-a": "worker"})
	long := strings.Repeat("x", 60)
	for _, name := range []string{"default", "kube-system", long, long[1:]} {
		real := n.namespace(name)
		if real == name || len(real) > 63 || n.namespaceOf(real) != name || n.namespace(name) != real {
			t.Errorf("%s is %s, and that is %s", name, real, n.namespaceOf(real))
		}
	}
	if n.namespace(long) == n.namespace(long[1:]) {
		t.Error("two long names become one")
	}
	if got := n.namespaceOf("kube-system"); got == "kube-system" || got == "default" {
		t.Errorf("the cluster's own kube-system is taken for the scenario's: %s", got)
	}
	if n.nodeOf("worker") != "node-a" || n.nodeOf("other") != "other" {
		t.Errorf("nodes are %s and %s", n.nodeOf("worker"), n.nodeOf("other"))
	}
}

func TestPoliciesSelectNamespacesByTheirRealName(t *testing.T) {
	selector := func(name string, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: name, "team": "default"},
			MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: values},
				{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"default"}},
			},
		}
	}
	policy := func(namespace string, in, out *metav1.LabelSelector) *networkingv1.NetworkPolicy {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}}
		p.Spec.PodSelector.MatchLabels = map[string]string{corev1.LabelMetadataName: "default"} // of a pod: just a label
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
			{NamespaceSelector: in}, {PodSelector: &metav1.LabelSelector{}}}}}
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: out}}}}
		return p
	}
	n := newNames("x-", nil)
	given := policy("default", selector("default", "shop", "kube-system"), selector("shop"))
	before := given.DeepCopy()
	there := policyIn(given, n.namespace)
	if diff := cmp.Diff(policy("x-default", selector("x-default", "x-shop", "x-kube-system"), selector("x-shop")), there); diff != "" {
		t.Errorf("there (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, policyIn(there, n.namespaceOf)); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, given); diff != "" {
		t.Errorf("the scenario's policy has changed:\n%s", diff)
	}
}
