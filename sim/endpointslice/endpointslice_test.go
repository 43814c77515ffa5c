package endpointslice

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// web is a Service of namespace x with the selector app=web and the given ports.
func web(clusterIPs string, ports ...corev1.ServicePort) *corev1.Service {
	ips := strings.Fields(clusterIPs)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "web", Labels: map[string]string{"tier": "front"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, ClusterIP: ips[0], ClusterIPs: ips, Ports: ports,
		},
	}
}

// pod is a running pod of namespace x with the label app=web.
func pod(name, ips string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name, Labels: map[string]string{"app": "web"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, ip := range strings.Fields(ips) {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func ready(status corev1.ConditionStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: status})
	}
}

func named(name string, number int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Ports: []corev1.ContainerPort{{Name: name, ContainerPort: number}},
		})
	}
}

func deleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

// describe writes a slice in one line per endpoint: "FAMILY PORTS: NAME ADDRESSES CONDITIONS".
func describe(all []*discoveryv1.EndpointSlice) []string {
	var lines []string
	for _, s := range all {
		var ports []string
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprintf("%s=%s/%d", *p.Name, *p.Protocol, *p.Port))
		}
		head := fmt.Sprintf("%s [%s]", s.AddressType, strings.Join(ports, " "))
		if len(s.Endpoints) == 0 {
			lines = append(lines, head)
		}
		for _, e := range s.Endpoints {
			addrs := strings.Join(e.Addresses, " ")
			lines = append(lines, fmt.Sprintf("%s: %s %s%s", head, e.TargetRef.Name, addrs, conditions(e)))
		}
	}
	return lines
}

func conditions(e discoveryv1.Endpoint) string {
	var words string
	for _, c := range []struct {
		word string
		set  *bool
	}{{" ready", e.Conditions.Ready}, {" serving", e.Conditions.Serving}, {" terminating", e.Conditions.Terminating}} {
		if *c.set {
			words += c.word
		}
	}
	return words
}

func inPhase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

// TestEndpoints is about what becomes of one pod behind a Service at port 80 that leads to port 8080.
func TestEndpoints(t *testing.T) {
	const none, ip = "", "10.0.0.1"
	tests := map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"no conditions, running":  {pod("a", ip), "a 10.0.0.1 ready serving"},
		"no conditions, no phase": {pod("a", ip, inPhase("")), "a 10.0.0.1 ready serving"},
		"no conditions, pending":  {pod("a", ip, inPhase(corev1.PodPending)), "a 10.0.0.1"},
		"ready":                   {pod("a", ip, ready(corev1.ConditionTrue)), "a 10.0.0.1 ready serving"},
		"not ready":               {pod("a", ip, ready(corev1.ConditionFalse)), "a 10.0.0.1"},
		"terminating":             {pod("a", ip, deleted), "a 10.0.0.1 serving terminating"},
		"completed":               {pod("a", ip, inPhase(corev1.PodSucceeded)), none},
		"failed":                  {pod("a", ip, inPhase(corev1.PodFailed)), none},
		"no address":              {pod("a", ""), none},
		"of the other family":     {pod("a", "fd00::1"), none},
		"of both families":        {pod("a", "fd00::1 10.0.0.1"), "a 10.0.0.1 ready serving"},
		"without a known condition": {pod("a", ip, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		}), "a 10.0.0.1"},
		"on the host network": {pod("a", "192.168.0.1", func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
		}), "a 192.168.0.1 ready serving"},
		"of another label":     {pod("a", ip, func(p *corev1.Pod) { p.Labels = nil }), none},
		"of another namespace": {pod("a", ip, func(p *corev1.Pod) { p.Namespace = "y" }), none},
		"with podIP alone":     {pod("a", "", func(p *corev1.Pod) { p.Status.PodIP = ip }), "a 10.0.0.1 ready serving"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := web("172.20.0.1", corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)})
			want := []string{"IPv4 []"}
			if tt.want != none {
				want = []string{"IPv4 [http=TCP/8080]: " + tt.want}
			}
			if diff := cmp.Diff(want, describe(Build([]*corev1.Service{s}, []*corev1.Pod{tt.pod}, nil))); diff != "" {
				t.Errorf("slices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPublishNotReadyAddresses(t *testing.T) {
	s := web("172.20.0.1")
	s.Spec.PublishNotReadyAddresses = true
	leaving := pod("a", "10.0.0.1", ready(corev1.ConditionFalse), deleted)
	got := describe(Build([]*corev1.Service{s}, []*corev1.Pod{leaving}, nil))
	if diff := cmp.Diff([]string{"IPv4 []: a 10.0.0.1 ready terminating"}, got); diff != "" {
		t.Errorf("slices (-want +got):\n%s", diff)
	}
}

func TestPorts(t *testing.T) {
	sidecar := func(p *corev1.Pod) {
		named("http", 9000)(p)
		c := p.Spec.Containers[0]
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		p.Spec.Containers, p.Spec.InitContainers = nil, []corev1.Container{c}
	}
	dns := corev1.ServicePort{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53}
	byName := corev1.ServicePort{Name: "web", Port: 80, TargetPort: intstr.FromString("http")}
	tests := map[string]struct {
		ports []corev1.ServicePort
		want  []string
	}{
		"no targetPort is the port": {[]corev1.ServicePort{{Port: 80}}, []string{
			"IPv4 [=TCP/80]: a 10.0.0.1 ready serving", "IPv4 [=TCP/80]: b 10.0.0.2 ready serving",
			"IPv4 [=TCP/80]: c 10.0.0.3 ready serving", "IPv4 [=TCP/80]: d 10.0.0.4 ready serving",
		}},
		"a name means another number on every pod": {[]corev1.ServicePort{byName}, []string{
			"IPv4 []: d 10.0.0.4 ready serving", "IPv4 [web=TCP/8080]: a 10.0.0.1 ready serving",
			"IPv4 [web=TCP/8081]: b 10.0.0.2 ready serving", "IPv4 [web=TCP/9000]: c 10.0.0.3 ready serving",
		}},
		"a name beside a number": {[]corev1.ServicePort{byName, dns}, []string{
			"IPv4 [dns=UDP/53]: d 10.0.0.4 ready serving",
			"IPv4 [web=TCP/8080 dns=UDP/53]: a 10.0.0.1 ready serving",
			"IPv4 [web=TCP/8081 dns=UDP/53]: b 10.0.0.2 ready serving",
			"IPv4 [web=TCP/9000 dns=UDP/53]: c 10.0.0.3 ready serving",
		}},
		"a name of another protocol": {
			[]corev1.ServicePort{{Name: "web", Protocol: corev1.ProtocolUDP, Port: 80, TargetPort: intstr.FromString("http")}},
			[]string{
				"IPv4 []: a 10.0.0.1 ready serving", "IPv4 []: b 10.0.0.2 ready serving",
				"IPv4 []: c 10.0.0.3 ready serving", "IPv4 []: d 10.0.0.4 ready serving",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pods := []*corev1.Pod{
				pod("d", "10.0.0.4"), pod("c", "10.0.0.3", sidecar), pod("b", "10.0.0.2", named("http", 8081)),
				pod("a", "10.0.0.1", named("http", 8080), named("http", 1)),
			}
			got := describe(Build([]*corev1.Service{web("172.20.0.1", tt.ports...)}, pods, nil))
			if diff := cmp.Diff(tt.want, slices.Sorted(slices.Values(got))); diff != "" {
				t.Errorf("slices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	both := []string{"IPv4 []: a 10.0.0.1 ready serving", "IPv6 []: a fd00::1 ready serving"}
	tests := map[string]struct {
		service *corev1.Service
		want    []string
	}{
		"IPv4":                {web("172.20.0.1"), both[:1]},
		"IPv6":                {web("fd00:20::1"), both[1:]},
		"dual-stack":          {web("172.20.0.1 fd00:20::1"), both},
		"headless":            {web("None"), both},
		"headless, of a kind": {withFamilies(web("None"), corev1.IPv6Protocol), both[1:]},
		"families count":      {withFamilies(web("172.20.0.1"), corev1.IPv6Protocol, corev1.IPv4Protocol), both},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := describe(Build([]*corev1.Service{tt.service}, []*corev1.Pod{pod("a", "10.0.0.1 fd00::1")}, nil))
			if diff := cmp.Diff(tt.want, slices.Sorted(slices.Values(got))); diff != "" {
				t.Errorf("slices (-want +got):\n%s", diff)
			}
		})
	}
}

func withFamilies(s *corev1.Service, families ...corev1.IPFamily) *corev1.Service {
	s.Spec.IPFamilies = families
	return s
}

func TestLabels(t *testing.T) {
	got := Build([]*corev1.Service{web("None")}, nil, nil)[0].Labels
	want := map[string]string{
		"tier": "front", "kubernetes.io/service-name": "web", "service.kubernetes.io/headless": "",
		"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

// TestWhoKeepsTheirSlices: the controller replaces its own and touches nobody else's.
func TestWhoKeepsTheirSlices(t *testing.T) {
	noSelector, external := web("172.20.0.1"), web("172.20.0.1")
	noSelector.Spec.Selector = nil
	external.Spec.Type = corev1.ServiceTypeExternalName
	old := func(labels map[string]string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "old", Labels: labels}}
	}
	own := old(map[string]string{"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": managedBy})
	foreign := old(map[string]string{"kubernetes.io/service-name": "web"})
	tests := map[string]struct {
		service  *corev1.Service
		existing *discoveryv1.EndpointSlice
		kept     bool
		slices   int
	}{
		"its own":                       {web("172.20.0.1"), own, false, 1},
		"somebody else's":               {web("172.20.0.1"), foreign, true, 2},
		"of a Service without selector": {noSelector, foreign, true, 1},
		"of an ExternalName Service":    {external, foreign, true, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Build([]*corev1.Service{tt.service}, nil, []*discoveryv1.EndpointSlice{tt.existing})
			if kept := slices.Contains(got, tt.existing); kept != tt.kept || len(got) != tt.slices {
				t.Errorf("kept: %v, %d slices; want %v, %d", kept, len(got), tt.kept, tt.slices)
			}
		})
	}
}

// TestManyEndpoints: at most 100 in a slice, all of them in some slice, the same in every order of the pods.
func TestManyEndpoints(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 250 {
		pods = append(pods, pod(fmt.Sprintf("pod-%03d", i), fmt.Sprintf("10.0.0.%d", i)))
	}
	services := []*corev1.Service{web("172.20.0.1", corev1.ServicePort{Port: 80})}
	want := Build(services, pods, nil)
	if len(want) != 3 || len(describe(want)) != 250 {
		t.Fatalf("%d slices with %d endpoints, want 3 with 250", len(want), len(describe(want)))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	if diff := cmp.Diff(want, Build(services, pods, nil)); diff != "" {
		t.Errorf("in another order (-want +got):\n%s", diff)
	}
}
