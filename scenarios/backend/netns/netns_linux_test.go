package netns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// long is a timeout for probes that should be answered.
const long = 5 * time.Second

var protocols = []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorder is an agent that filters nothing, remembers what it was told and looks at the links of its pods then.
type recorder struct {
	pods   []string
	links  []int
	closed bool
}

func (r *recorder) Apply(_ context.Context, pods []agent.Pod, _ []*v1alpha1.PolicyEndpoint) error {
	known := r.links
	r.pods, r.links = nil, nil
	for _, p := range pods {
		r.pods = append(r.pods, fmt.Sprintf("%s/%s/%s", p.Namespace, p.Name, p.UID))
		r.links = append(r.links, int(p.Ifindex))
		link, err := netlink.LinkByIndex(int(p.Ifindex))
		if err != nil {
			return fmt.Errorf("look at the link of %s: %w", p.Name, err)
		}
		if up := link.Attrs().Flags&net.FlagUp != 0; up != slices.Contains(known, int(p.Ifindex)) {
			return fmt.Errorf("pod %s: its link is up: %v", p.Name, up)
		}
	}
	for _, i := range known {
		if _, err := netlink.LinkByIndex(i); err == nil && !slices.Contains(r.links, i) {
			return fmt.Errorf("link %d of a deleted pod is still there", i)
		}
	}
	return nil
}

func (r *recorder) Close() error { r.closed = true; return nil }

// bench is a session whose agents filter nothing.
type bench struct {
	backend.Session
	mu     sync.Mutex
	agents map[netip.Addr]*recorder // by the first address of their node
}

func (b *bench) openAgent(_ context.Context, c agent.Config) (netns.NodeAgent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &recorder{}
	b.agents[c.NodeAddrs[0]] = r
	return r, nil
}

// agent is the agent of the node with a number.
func (b *bench) agent(i int) *recorder {
	return b.agents[netip.AddrFrom4([4]byte{192, 168, 7, byte(i)})]
}

func open(t testing.TB) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	b := &bench{agents: map[netip.Addr]*recorder{}}
	var err error
	b.Session, err = netns.New(netns.Options{OpenAgent: b.openAgent}).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, b.Close()) })
	return b
}

// node is a dual-stack node with a number.
func node(i int) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}}
	for _, a := range []string{fmt.Sprintf("192.168.7.%d", i), fmt.Sprintf("fd07::%d", i)} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

// pod is a running pod of namespace default; its UID is its name followed by its addresses.
func pod(name, node string, addrs ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(fmt.Sprint(name, addrs))},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, a := range addrs {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	return p
}

// cluster has two nodes and pods a and b on the first, c on the second.
func cluster() *model.Cluster {
	return &model.Cluster{
		Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}},
		Nodes:      []*corev1.Node{node(1), node(2)},
		Pods: []*corev1.Pod{
			pod("a", "n1", "10.0.1.1", "fd0a::1:1"), pod("b", "n1", "10.0.1.2", "fd0a::1:2"), pod("c", "n2", "10.0.2.1", "fd0a::2:1"),
		},
	}
}

// to is a probe from somebody to an address and port.
func to(from, at string, proto flow.Protocol, timeout time.Duration) backend.Probe {
	return backend.Probe{From: from, To: netip.MustParseAddrPort(at), Protocol: proto, Timeout: timeout}
}

func (b *bench) outcomes(t *testing.T, probes ...backend.Probe) []backend.Observation {
	t.Helper()
	got, err := b.Probe(t.Context(), probes)
	check(t, err)
	return got
}

// answers fails the test unless every protocol is answered at an address by one of want.
func (b *bench) answers(t *testing.T, from, at string, want ...string) {
	t.Helper()
	for _, proto := range protocols {
		got := b.outcomes(t, to(from, at, proto, long))[0]
		if got.Outcome != backend.Connected || !slices.Contains(want, got.Answered) {
			t.Errorf("%s to %s/%s: %+v, want an answer of %s", from, proto, at, got, want)
		}
	}
}

func TestEveryPodAndNodeReachesEveryOther(t *testing.T) {
	b := open(t)
	c := cluster()
	check(t, b.Apply(t.Context(), c))
	ends := map[string][]string{}
	for _, n := range c.Nodes {
		ends["node/"+n.Name] = []string{n.Status.Addresses[0].Address, n.Status.Addresses[1].Address}
	}
	for _, p := range c.Pods {
		ends["default/"+p.Name] = []string{p.Status.PodIPs[0].IP, p.Status.PodIPs[1].IP}
	}
	var probes []backend.Probe
	var want []string
	for from := range ends {
		for target, addrs := range ends {
			for _, a := range addrs {
				for _, proto := range protocols {
					at := netip.AddrPortFrom(netip.MustParseAddr(a), 8080).String()
					probes, want = append(probes, to(from, at, proto, long)), append(want, target)
				}
			}
		}
	}
	for i, o := range b.outcomes(t, probes...) {
		if o.Outcome != backend.Connected || o.Answered != want[i] {
			t.Errorf("%s to %s/%s: %+v, want an answer of %s", probes[i].From, probes[i].Protocol, probes[i].To, o, want[i])
		}
	}
}

// withService adds a Service with ClusterIPs 10.96.0.1 and fd96::1, port 80, in front of port 8080 of some pods.
func withService(c *model.Cluster, ready ...string) *model.Cluster {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	svc.Spec.ClusterIPs = []string{"10.96.0.1", "fd96::1"}
	ports := []discoveryv1.EndpointPort{}
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		name := strings.ToLower(string(proto))
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: name, Protocol: proto, Port: 80})
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: &proto, Port: ptr.To[int32](8080)})
	}
	c.Services = []*corev1.Service{svc}
	c.EndpointSlices = nil
	for i, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		slice := &discoveryv1.EndpointSlice{AddressType: family, Ports: ports}
		slice.Namespace, slice.Labels = "default", map[string]string{discoveryv1.LabelServiceName: "web"}
		for _, p := range c.Pods {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{p.Status.PodIPs[i].IP},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(slices.Contains(ready, p.Name))},
			})
		}
		c.EndpointSlices = append(c.EndpointSlices, slice)
	}
	return c
}

func TestAClusterIPAnswersFromEveryEndpoint(t *testing.T) {
	b := open(t)
	check(t, b.Apply(t.Context(), withService(cluster(), "b", "c")))
	for _, from := range []string{"default/a", "default/b", "default/c", "node/n1", "node/n2"} {
		for _, at := range []string{"10.96.0.1:80", "[fd96::1]:80"} {
			b.answers(t, from, at, "default/b", "default/c")
		}
	}
	seen := map[string]int{}
	for range 64 {
		seen[b.outcomes(t, to("default/a", "10.96.0.1:80", flow.TCP, long))[0].Answered]++
	}
	if seen["default/b"] < 8 || seen["default/c"] < 8 {
		t.Errorf("64 connections were spread as %v, want about half each", seen)
	}
}

func TestAPodReachesItselfThroughItsService(t *testing.T) {
	b := open(t)
	check(t, b.Apply(t.Context(), withService(cluster(), "a")))
	for _, at := range []string{"10.96.0.1:80", "[fd96::1]:80"} {
		b.answers(t, "default/a", at, "default/a")
	}
}

func TestAServiceFollowsItsEndpoints(t *testing.T) {
	b := open(t)
	for _, name := range []string{"a", "b", "c"} {
		check(t, b.Apply(t.Context(), withService(cluster(), name)))
		b.answers(t, "node/n2", "10.96.0.1:80", "default/"+name)
	}
	check(t, b.Apply(t.Context(), withService(cluster())))
	for _, from := range []string{"default/a", "node/n1"} {
		for _, at := range []string{"10.96.0.1:80", "[fd96::1]:80"} {
			for _, proto := range protocols {
				if got := b.outcomes(t, to(from, at, proto, long))[0]; got.Outcome != backend.Refused {
					t.Errorf("%s to %s/%s without endpoints: %+v, want refused", from, proto, at, got)
				}
			}
		}
	}
}

func TestApplyChangesOnlyTheDifference(t *testing.T) {
	b := open(t)
	c := cluster()
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/a", "10.0.1.2:80", "default/b")

	c.Pods[1] = pod("b2", "n1", "10.0.1.2", "fd0a::1:2") // takes the addresses of b
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/a", "10.0.1.2:80", "default/b2")
	if _, err := b.Probe(t.Context(), []backend.Probe{to("default/b", "10.0.1.1:80", flow.TCP, long)}); err == nil {
		t.Error("a probe from a deleted pod is no error")
	}

	again := pod("b2", "n1", "10.0.1.2", "fd0a::1:2")
	again.UID = "another"
	c.Pods[1] = again
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/c", "10.0.1.2:80", "default/b2")
	if got := b.agent(1).pods; !slices.Equal(got, []string{"default/a/a[10.0.1.1 fd0a::1:1]", "default/b2/another"}) {
		t.Errorf("the agent of n1 knows %v", got)
	}

	c.Pods[2].Status.Phase = corev1.PodSucceeded
	c.Nodes, c.Pods = c.Nodes[:1], c.Pods[:2]
	check(t, b.Apply(t.Context(), c))
	if !b.agent(2).closed {
		t.Error("the agent of a deleted node is still open")
	}
	b.answers(t, "node/n1", "10.0.1.1:80", "default/a")
}

func TestAPodOfTheHostNetworkIsProbedFromItsNode(t *testing.T) {
	b := open(t)
	c := cluster()
	host := pod("h", "n2", "192.168.7.2", "fd07::2")
	host.Spec.HostNetwork = true
	c.Pods = append(c.Pods, host)
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/h", "10.0.1.1:80", "default/a")
	b.answers(t, "default/a", "192.168.7.2:80", "node/n2")
}

func TestAPodHasOnlyTheFamiliesOfItsAddresses(t *testing.T) {
	b := open(t)
	c := cluster()
	c.Pods[0], c.Pods[2] = pod("a", "n1", "10.0.1.1"), pod("c", "n2", "fd0a::2:1")
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/a", "10.0.1.2:80", "default/b")
	b.answers(t, "default/c", "[fd0a::1:2]:80", "default/b")
	for _, proto := range protocols {
		for from, at := range map[string]string{"default/a": "[fd0a::2:1]:80", "default/c": "10.0.1.1:80"} {
			if got := b.outcomes(t, to(from, at, proto, long))[0]; got.Outcome != backend.Blocked || got.Detail == "" {
				t.Errorf("%s to %s/%s: %+v, want blocked, with the reason", from, proto, at, got)
			}
		}
	}
}

func TestPodsWithoutNetworkAreLeftOut(t *testing.T) {
	b := open(t)
	c := cluster()
	pending, ended := pod("pending", ""), pod("ended", "n1", "10.0.1.1")
	pending.Status.Phase, ended.Status.Phase = corev1.PodPending, corev1.PodFailed
	c.Pods = append(c.Pods, pending, ended)
	check(t, b.Apply(t.Context(), c))
	b.answers(t, "default/c", "10.0.1.1:80", "default/a")
}

func BenchmarkWiringTenPods(b *testing.B) {
	session := open(b)
	full, empty := cluster(), cluster()
	empty.Pods = nil
	for i := range 7 {
		full.Pods = append(full.Pods, pod(fmt.Sprint("p", i), "n2", fmt.Sprintf("10.0.3.%d", i), fmt.Sprintf("fd0a::3:%d", i)))
	}
	check(b, session.Apply(b.Context(), empty))
	for b.Loop() {
		check(b, session.Apply(b.Context(), full))
		b.StopTimer()
		check(b, session.Apply(b.Context(), empty))
		b.StartTimer()
	}
}
