package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/sim"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// scripted is an engine that denies what deny names, as "ADDRESS-OR-POD PORT".
type scripted struct {
	deny   map[string]bool
	err    error
	loaded *model.Cluster
	closed bool
}

func (s *scripted) Name() string { return "scripted" }

func (s *scripted) Load(_ context.Context, c *model.Cluster) error {
	s.loaded = c
	return nil
}

func (s *scripted) Verdict(q model.Query) (flow.Verdict, error) {
	to := q.To.Addr.String()
	switch {
	case q.To.Pod != nil:
		to = q.To.Pod.Name
	case q.To.Node != nil:
		return flow.Undefined, s.err
	}
	if s.deny[fmt.Sprintf("%s %s", to, q.PortProto)] {
		return flow.Deny, s.err
	}
	return flow.Allow, s.err
}

func (s *scripted) Packet(p engine.Packet) (flow.Verdict, error) { return s.Verdict(p.Query) }

func (s *scripted) Close() error {
	s.closed = true
	return nil
}

func pod(name, node, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name},
		Spec:       corev1.PodSpec{NodeName: node},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

func endpoint(ip, node string, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: ptr.To(node), Conditions: c}
}

// cluster has a Service web (10.96.0.1:80 → 8080) in front of the given endpoints.
func cluster(local bool, endpoints ...discoveryv1.Endpoint) *model.Cluster {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "web"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"},
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
		},
	}
	if local {
		svc.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
	}
	ended := pod("ended", "node-a", "10.0.0.3")
	ended.Status.Phase = corev1.PodSucceeded
	onHost := pod("on-host", "node-a", "10.240.0.1")
	onHost.Spec.HostNetwork = true
	return &model.Cluster{
		Nodes: []*corev1.Node{{
			ObjectMeta: metav1.ObjectMeta{Name: "node-a"},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "10.240.0.1"}, {Type: corev1.NodeHostName, Address: "node-a"},
			}},
		}},
		Pods: []*corev1.Pod{
			pod("client", "node-a", "10.0.0.1"), pod("web-1", "node-a", "10.0.0.2"), ended, pod("web-2", "node-b", "10.0.0.3"),
			onHost,
		},
		Services: []*corev1.Service{svc},
		EndpointSlices: []*discoveryv1.EndpointSlice{{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "n", Name: "web-x", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
			},
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To("metrics"), Port: ptr.To[int32](9090)}, {Name: ptr.To("http"), Port: ptr.To[int32](8080)},
			},
			Endpoints: endpoints,
		}},
	}
}

var (
	ready       = discoveryv1.EndpointConditions{Ready: ptr.To(true)}
	unready     = discoveryv1.EndpointConditions{Ready: ptr.To(false)}
	terminating = discoveryv1.EndpointConditions{
		Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true),
	}
)

// probe applies c and opens the same connection as often as asked.
func probe(t *testing.T, e *scripted, c *model.Cluster, from, to string, times int) []backend.Observation {
	t.Helper()
	b := sim.New(sim.Options{Engine: func() engine.Engine { return e }})
	if err := b.Available(); err != nil {
		t.Fatal(err)
	}
	session, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Apply(t.Context(), c); err != nil || e.loaded != c {
		t.Fatalf("apply: %v", err)
	}
	probes := make([]backend.Probe, times)
	for i := range probes {
		probes[i] = backend.Probe{From: from, To: netip.MustParseAddrPort(to), Protocol: flow.TCP}
	}
	seen, err := session.Probe(t.Context(), probes)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil || !e.closed {
		t.Errorf("close: %v, engine closed: %v", err, e.closed)
	}
	return seen
}

func connected(by string) backend.Observation {
	return backend.Observation{Outcome: backend.Connected, Answered: by}
}

var (
	blocked = backend.Observation{Outcome: backend.Blocked}
	refused = backend.Observation{Outcome: backend.Refused, Detail: "the Service has no ready backend"}
)

func TestProbe(t *testing.T) {
	one, two := endpoint("10.0.0.2", "node-a", ready), endpoint("10.0.0.3", "node-b", ready)
	tests := map[string]struct {
		cluster  *model.Cluster
		deny     []string
		from, to string
		want     []backend.Observation
	}{
		"a pod answers at its address": {
			cluster: cluster(false), from: "n/client", to: "10.0.0.2:80",
			want: []backend.Observation{connected("n/web-1")},
		},
		"a pod that has ended does not answer, the new owner of its address does": {
			cluster: cluster(false), from: "n/client", to: "10.0.0.3:80",
			want: []backend.Observation{connected("n/web-2")},
		},
		"a denied packet is blocked": {
			cluster: cluster(false), deny: []string{"web-1 TCP/80"},
			from: "n/client", to: "10.0.0.2:80", want: []backend.Observation{blocked},
		},
		"another port is another matter": {
			cluster: cluster(false), deny: []string{"web-1 TCP/80"},
			from: "n/client", to: "10.0.0.2:81", want: []backend.Observation{connected("n/web-1")},
		},
		"a node answers where nothing could be enforced": {
			cluster: cluster(false), from: "n/client", to: "10.240.0.1:80",
			want: []backend.Observation{connected("node/node-a")},
		},
		"an address outside the cluster is nobody known": {
			cluster: cluster(false), from: "node/node-a", to: "203.0.113.7:80",
			want: []backend.Observation{connected("")},
		},
		"a Service takes turns": {
			cluster: cluster(false, one, two), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{connected("n/web-1"), connected("n/web-2"), connected("n/web-1")},
		},
		"a Service leads to the port behind it": {
			cluster: cluster(false, one), deny: []string{"web-1 TCP/8080"},
			from: "n/client", to: "10.96.0.1:80", want: []backend.Observation{blocked},
		},
		"the port before it does not matter at the backend": {
			cluster: cluster(false, one), deny: []string{"web-1 TCP/80"},
			from: "n/client", to: "10.96.0.1:80", want: []backend.Observation{connected("n/web-1")},
		},
		"the ClusterIP can be shut at the client": {
			cluster: cluster(false, one), deny: []string{"10.96.0.1 TCP/80"},
			from: "n/client", to: "10.96.0.1:80", want: []backend.Observation{blocked},
		},
		"a backend that is not ready is left out": {
			cluster: cluster(false, endpoint("10.0.0.2", "node-a", unready), two), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{connected("n/web-2"), connected("n/web-2")},
		},
		"a terminating backend serves where no other does": {
			cluster: cluster(false, endpoint("10.0.0.2", "node-a", terminating)), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{connected("n/web-1")},
		},
		"a terminating backend is left out where another is ready": {
			cluster: cluster(false, endpoint("10.0.0.2", "node-a", terminating), two), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{connected("n/web-2"), connected("n/web-2")},
		},
		"a local Service stays on the node": {
			cluster: cluster(true, two, one), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{connected("n/web-1"), connected("n/web-1")},
		},
		"a local Service without a local backend refuses": {
			cluster: cluster(true, two), from: "node/node-a", to: "10.96.0.1:80",
			want: []backend.Observation{refused},
		},
		"a Service without backends refuses": {
			cluster: cluster(false), from: "n/client", to: "10.96.0.1:80",
			want: []backend.Observation{refused},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := &scripted{deny: map[string]bool{}}
			for _, d := range test.deny {
				e.deny[d] = true
			}
			got := probe(t, e, test.cluster, test.from, test.to, len(test.want))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("observations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		engine *scripted
		from   string
		want   string
	}{
		"unknown source": {&scripted{}, "n/nobody", "n/nobody to TCP/10.0.0.2:80: n/nobody does not exist"},
		"misspelt source": {&scripted{}, "client",
			`client to TCP/10.0.0.2:80: "client" is neither namespace/pod nor node/NAME nor external/NAME`},
		"engine that fails": {&scripted{err: broken}, "n/client", "n/client to TCP/10.0.0.2:80: broken"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			session, err := sim.New(sim.Options{Engine: func() engine.Engine { return test.engine }}).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := session.Apply(t.Context(), cluster(false)); err != nil {
				t.Fatal(err)
			}
			_, err = session.Probe(t.Context(), []backend.Probe{
				{From: test.from, To: netip.MustParseAddrPort("10.0.0.2:80"), Protocol: flow.TCP},
			})
			if err == nil || err.Error() != test.want {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	session, err := sim.New(sim.Options{Engine: engine.NewModel}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := session.Probe(ctx, make([]backend.Probe, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
