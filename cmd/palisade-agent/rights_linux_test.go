package main

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestShippedRoleAllowsNothingMore asks the API server, as the agent, for all its rights. What the other tests of this
// package do, they do under the same role, so nothing else is needed.
func TestShippedRoleAllowsNothingMore(t *testing.T) {
	b := newTestbed(t)
	config, err := b.cluster.Config(account())
	b.must(err)
	client, err := kubernetes.NewForConfig(config)
	b.must(err)
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}},
		metav1.CreateOptions{})
	b.must(err)
	found := false
	for _, r := range review.Status.ResourceRules {
		switch group := strings.Join(r.APIGroups, ","); group {
		case "networking.k8s.aws":
			found = true
			if strings.Join(r.Verbs, ",") != "list,watch" || strings.Join(r.Resources, ",") != "policyendpoints" {
				t.Errorf("may %v %v", r.Verbs, r.Resources)
			}
		case "authorization.k8s.io", "authentication.k8s.io": // everybody may ask who he is
		default:
			t.Errorf("may %v %v of %q", r.Verbs, r.Resources, group)
		}
	}
	if !found {
		t.Error("may not list PolicyEndpoints; are the roles there?")
	}
	if _, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("may list pods of all namespaces")
	}
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("may list nodes")
	}
}
