package core

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/resolve"
)

// BenchmarkPodReplaced is what one pod replacement costs in a cluster of 10,000 pods and 1,000 policies, each of which
// selects ten pods and lets ten others in: the index, and resolving the policies that are touched.
func BenchmarkPodReplaced(b *testing.B) {
	const pods, policies = 10_000, 1_000
	c := New(resolve.Options{})
	for i := range pods {
		c.Step(Seen{benchPod(i, i)})
	}
	for i := range policies {
		c.Step(Seen{benchPolicy(i, (i+1)%policies)})
	}
	s := newServer()
	for _, e := range c.Step(Start{}) {
		benchDue(c, s, e.(Queue).Policy)
	}
	s.watch = nil
	before, n := c.SelectorsAsked(), 0
	for b.Loop() {
		n++
		queued := c.Step(Seen{benchPod(n%pods, pods+n)})
		if len(queued) != 2 {
			b.Fatalf("%d policies touched, want the pod's own and the one that lets it in", len(queued))
		}
		for _, e := range queued {
			benchDue(c, s, e.(Queue).Policy)
		}
		s.watch = nil
	}
	b.ReportMetric(float64(c.SelectorsAsked()-before)/float64(n), "selectors/event")
}

func benchDue(c *Core, s *server, key types.NamespacedName) {
	for _, e := range c.Step(Due{key}) {
		if w, ok := e.(Write); ok {
			c.Step(s.write(w))
		}
	}
}

// benchPod is one of ten pods of an app, with the address number n.
func benchPod(i, n int) *corev1.Pod {
	p := newPod(fmt.Sprintf("pod-%d", i), fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255))
	p.Labels = map[string]string{"app": fmt.Sprint(i % 1000), "env": "prod"}
	return p
}

func benchPolicy(subject, peer int) *networkingv1.NetworkPolicy {
	app := func(n int) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(n), "env": "prod"}}
	}
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: fmt.Sprintf("p-%d", subject), UID: types.UID(fmt.Sprint(subject)),
	}}
	np.Spec.PodSelector = *app(subject)
	from := []networkingv1.NetworkPolicyPeer{{PodSelector: app(peer)}}
	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: from}}
	return np
}
