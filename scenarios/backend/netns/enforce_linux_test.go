package netns_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// enforcing opens a session whose agents are the real ones.
func enforcing(t *testing.T) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	s, err := netns.New(netns.Options{}).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return &bench{Session: s}
}

// isolate is a policy that denies a pod of namespace default everything in one direction.
func isolate(name string, directions ...networkingv1.PolicyType) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "isolate-" + name}}
	p.Spec.PodSelector.MatchLabels = map[string]string{"pod": name}
	p.Spec.PolicyTypes = directions
	return p
}

func TestPoliciesAreEnforced(t *testing.T) {
	b := enforcing(t)
	c := withService(cluster(), "b")
	for _, p := range c.Pods {
		p.Labels = map[string]string{"pod": p.Name}
	}
	c.Policies = []*networkingv1.NetworkPolicy{isolate("b", networkingv1.PolicyTypeIngress)}
	check(t, b.Apply(t.Context(), c))
	v4 := map[string]string{"a": "10.0.1.1:80", "b": "10.0.1.2:80", "service": "10.96.0.1:80"}
	v6 := map[string]string{"a": "[fd0a::1:1]:80", "b": "[fd0a::1:2]:80", "service": "[fd96::1]:80"}
	for _, ends := range []map[string]string{v4, v6} {
		b.answers(t, "default/b", ends["a"], "default/a")
		b.answers(t, "node/n1", ends["b"], "default/b")
		b.lost(t, "default/a", ends["b"])
		b.lost(t, "default/c", ends["b"])
		b.lost(t, "node/n2", ends["b"])
		b.lost(t, "default/a", ends["service"])
	}

	c.Policies = []*networkingv1.NetworkPolicy{isolate("a", networkingv1.PolicyTypeEgress)}
	check(t, b.Apply(t.Context(), c))
	for _, ends := range []map[string]string{v4, v6} {
		b.answers(t, "default/c", ends["service"], "default/b")
		b.answers(t, "default/c", ends["a"], "default/a")
		b.lost(t, "default/a", ends["b"])
		b.lost(t, "default/a", ends["service"])
	}
}

// lost fails the test unless probes of every protocol are blocked.
func (b *bench) lost(t *testing.T, from, at string) {
	t.Helper()
	var probes []backend.Probe
	for _, proto := range protocols {
		probes = append(probes, to(from, at, proto, 100*time.Millisecond))
	}
	for i, o := range b.outcomes(t, probes...) {
		if o.Outcome != backend.Blocked {
			t.Errorf("%s to %s/%s: %+v, want blocked", from, probes[i].Protocol, at, o)
		}
	}
}

// A pod that is made again under the same name and address must not inherit the openness of the one before.
func TestAPolicyHoldsForPodsThatComeLater(t *testing.T) {
	b := enforcing(t)
	c := cluster()
	c.Policies = []*networkingv1.NetworkPolicy{isolate("late", networkingv1.PolicyTypeIngress)}
	check(t, b.Apply(t.Context(), c))
	for i := range 3 {
		late := pod("late", []string{"n1", "n2"}[i%2], fmt.Sprintf("10.0.9.%d", i), fmt.Sprintf("fd0a::9:%d", i))
		late.Labels = map[string]string{"pod": "late"}
		next := *c
		next.Pods = append(next.Pods[:3:3], late)
		check(t, b.Apply(t.Context(), &next))
		b.lost(t, "default/a", fmt.Sprintf("10.0.9.%d:80", i))
		b.lost(t, "default/c", fmt.Sprintf("[fd0a::9:%d]:80", i))
		b.answers(t, "default/late", "10.0.1.2:80", "default/b")
	}
}

// A cluster that was used before must be as empty as a new one: no pod, no policy, no kept connection, no host outside.
func TestAnIdleClusterIsAsGoodAsNew(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	b := netns.New(netns.Options{Idle: 1})
	host := backend.Host{Name: "external/office", Addrs: addrs("203.0.113.10", "fdcb::10")}
	for _, isolated := range []bool{true, false, true} {
		s, err := b.Open(t.Context())
		check(t, err)
		check(t, s.Outside(t.Context(), []backend.Host{host}))
		c := withService(cluster(), "b")
		c.Pods[1].Labels = map[string]string{"pod": "b"}
		if isolated {
			c.Policies = []*networkingv1.NetworkPolicy{isolate("b", networkingv1.PolicyTypeIngress)}
		}
		check(t, s.Apply(t.Context(), c))
		bench := &bench{Session: s}
		if isolated {
			bench.lost(t, "default/a", "10.0.1.2:80")
			bench.lost(t, "external/office", "[fd0a::1:2]:80")
		} else {
			bench.answers(t, "default/a", "10.96.0.1:80", "default/b")
			bench.answers(t, "external/office", "[fd0a::1:2]:80", "default/b")
		}
		_, err = s.Keep(t.Context(), "kept", to("default/a", "10.0.2.1:80", protocols[0], long))
		check(t, err)
		check(t, s.Close())
	}
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}
