package sim_test

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/sim"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// isolate denies everything to a pod of namespace n, in the directions given.
func isolate(name string, directions ...networkingv1.PolicyType) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "isolate-" + name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pod": name}}, PolicyTypes: directions,
		},
	}
}

func TestKeptConnectionsAreJudgedByTheTables(t *testing.T) {
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	both := backend.Passage{There: true, Back: true}
	for name, c := range map[string]struct {
		policies []*networkingv1.NetworkPolicy
		want     backend.Passage
	}{
		"nothing happens":          {nil, both},
		"the opener admits nobody": {[]*networkingv1.NetworkPolicy{isolate("client", in)}, both},
		"the called may not send":  {[]*networkingv1.NetworkPolicy{isolate("web-1", out)}, both},
		"the called admits nobody": {[]*networkingv1.NetworkPolicy{isolate("web-1", in)}, backend.Passage{Back: true}},
		"the called is closed":     {[]*networkingv1.NetworkPolicy{isolate("web-1", in, out)}, backend.Passage{}},
		"the opener may not send":  {[]*networkingv1.NetworkPolicy{isolate("client", out)}, backend.Passage{Back: true}},
		"the opener is closed":     {[]*networkingv1.NetworkPolicy{isolate("client", in, out)}, backend.Passage{}},
		"somebody else is closed":  {[]*networkingv1.NetworkPolicy{isolate("web-2", in, out)}, both},
		"only answers are left":    {[]*networkingv1.NetworkPolicy{isolate("client", in), isolate("web-1", out)}, both},
	} {
		t.Run(name, func(t *testing.T) {
			for _, proto := range []flow.Protocol{flow.TCP, flow.SCTP} {
				s, err := sim.New(sim.Options{Engine: engine.NewTables}).Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				apply(t, s, nil)
				probe := backend.Probe{From: "n/client", To: netip.MustParseAddrPort("10.0.0.2:80"), Protocol: proto}
				if seen, err := s.Keep(t.Context(), "talk", probe); err != nil || seen != connected("n/web-1") {
					t.Fatalf("opened: %+v, %v", seen, err)
				}
				apply(t, s, c.policies)
				seen, err := s.Exchange(t.Context(), []string{"talk"}, time.Second)
				if err != nil || seen[0] != c.want {
					t.Errorf("%s: %s, %v; want %s", proto, seen[0], err, c.want)
				}
				if _, err := s.Exchange(t.Context(), []string{"other"}, time.Second); err == nil {
					t.Error("no error about a connection that there is not")
				}
			}
		})
	}
}

// apply makes s hold the cluster of these tests with policies.
func apply(t *testing.T, s backend.Session, policies []*networkingv1.NetworkPolicy) {
	t.Helper()
	c := &model.Cluster{Policies: policies, Pods: []*corev1.Pod{
		pod("client", "node-a", "10.0.0.1"), pod("web-1", "node-b", "10.0.0.2"), pod("web-2", "node-b", "10.0.0.3"),
	}}
	for _, p := range c.Pods {
		p.Labels = map[string]string{"pod": p.Name}
	}
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestNodePortsAndHostPorts(t *testing.T) {
	c := cluster(false, endpoint("10.0.0.2", "node-a", ready), endpoint("10.0.0.3", "node-b", ready))
	c.Services[0].Spec.Ports[0].NodePort = 30080
	c.Services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	c.Pods[1].Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8000}}}}
	for name, test := range map[string]struct {
		to   string
		deny map[string]bool
		want backend.Observation
	}{
		"a node port leads to the pod of its node": {"10.240.0.1:30080", nil, connected("n/web-1")},
		"and to its port":                          {"10.240.0.1:30080", map[string]bool{"web-1 TCP/8080": true}, blocked},
		"a host port leads to the pod":             {"10.240.0.1:8000", nil, connected("n/web-1")},
		"and to its port too":                      {"10.240.0.1:8000", map[string]bool{"web-1 TCP/80": true}, blocked},
		"any other port is the node's":             {"10.240.0.1:8080", nil, connected("node/node-a")},
	} {
		t.Run(name, func(t *testing.T) {
			e := &scripted{deny: test.deny}
			s, err := sim.New(sim.Options{Engine: func() engine.Engine { return e }}).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			office := backend.Host{Name: "external/office", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}
			if err := s.Outside(t.Context(), []backend.Host{office}); err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			probe := backend.Probe{From: office.Name, To: netip.MustParseAddrPort(test.to), Protocol: flow.TCP}
			seen, err := s.Probe(t.Context(), []backend.Probe{probe})
			if err != nil || seen[0] != test.want {
				t.Errorf("got %+v, %v, want %+v", seen, err, test.want)
			}
		})
	}
}
