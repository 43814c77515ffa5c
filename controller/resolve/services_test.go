package resolve

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func endpointSlices(s ...*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice { return s }

// shop is two pods behind a Service at port 80 that leads to port 8080.
func shop() *Snapshot {
	return &Snapshot{
		Services:       []*corev1.Service{service("x/shop", "172.20.0.1", 80)},
		EndpointSlices: endpointSlices(slice("x/shop", "10.0.0.1 10.0.0.2", 8080)),
		Pods: []*corev1.Pod{
			newTestPod("x/a", "10.0.0.1"), newTestPod("x/b", "10.0.0.2"), newTestPod("x/c", "10.0.0.3"),
		},
	}
}

func TestClusterIPs(t *testing.T) {
	const (
		toA  = `{to: [{podSelector: {matchLabels: {app: a}}}]}`
		toB  = `{to: [{podSelector: {matchLabels: {app: b}}}]}`
		toAB = `{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}}]`
	)
	tests := map[string]struct {
		rules string
		want  []string
	}{
		"all ports of all backends": {`[` + toAB + `}]`,
			[]string{"0: 10.0.0.1", "0: 10.0.0.2", "0: 172.20.0.1 on TCP/80"}},
		"the target port of all backends": {`[` + toAB + `, ports: [{port: 8080}]}]`,
			[]string{"0: 10.0.0.1 on TCP/8080", "0: 10.0.0.2 on TCP/8080", "0: 172.20.0.1 on TCP/80"}},
		"trap 20: a range that holds the target port": {`[` + toAB + `, ports: [{port: 8000, endPort: 8100}]}]`,
			[]string{"0: 10.0.0.1 on TCP/8000-8100", "0: 10.0.0.2 on TCP/8000-8100", "0: 172.20.0.1 on TCP/80"}},
		"the Service port instead of the target port": {`[` + toAB + `, ports: [{port: 80}]}]`,
			[]string{"0: 10.0.0.1 on TCP/80", "0: 10.0.0.2 on TCP/80"}},
		"another protocol": {`[` + toAB + `, ports: [{protocol: UDP, port: 8080}]}]`,
			[]string{"0: 10.0.0.1 on UDP/8080", "0: 10.0.0.2 on UDP/8080"}},
		"only some backends": {`[` + toA + `]`, []string{"0: 10.0.0.1"}},
		"backends by different rules": {`[` + toB + `, ` + toA + `]`,
			[]string{"0: 10.0.0.2", "1: 10.0.0.1", "1: 172.20.0.1 on TCP/80"}},
		"backends by an ipBlock": {`[{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 8080}]}]`,
			[]string{"0: 10.0.0.0/24 on TCP/8080", "0: 172.20.0.1 on TCP/80"}},
		"backends by a block and by selectors: the first rule counts": {
			`[{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: 8080}]}, ` + toAB + `}]`,
			[]string{"0: 10.0.0.0/24 on TCP/8080", "0: 172.20.0.1 on TCP/80", "1: 10.0.0.1", "1: 10.0.0.2"}},
		"a backend excepted": {`[{to: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.2/32]}}]}]`,
			[]string{"0: 10.0.0.0/24 except 10.0.0.2/32"}},
		"anyone on the target port": {`[{ports: [{port: 8080}]}]`,
			[]string{"0: 0.0.0.0/0 on TCP/8080", "0: 172.20.0.1 on TCP/80", "0: ::/0 on TCP/8080"}},
		"anyone on the Service port": {`[{ports: [{port: 80}]}]`,
			[]string{"0: 0.0.0.0/0 except 172.20.0.1/32 on TCP/80", "0: ::/0 on TCP/80"}},
		"anyone on both ports": {`[{ports: [{port: 80}]}, {ports: [{port: 8080}]}]`,
			[]string{"0: 0.0.0.0/0 on TCP/80", "0: ::/0 on TCP/80", "1: 0.0.0.0/0 on TCP/8080", "1: ::/0 on TCP/8080"}},
		"anyone on every port": {`[{}]`, []string{"0: 0.0.0.0/0", "0: ::/0"}},
		"the range of Services alone": {`[{to: [{ipBlock: {cidr: 172.20.0.0/16}}]}]`,
			[]string{"0: 172.20.0.0/16 except 172.20.0.1/32"}},
		"the ClusterIP by its address": {`[{to: [{ipBlock: {cidr: 172.20.0.1/32}}]}]`, []string{"0: 172.20.0.1/32"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkEgress(t, shop(), tt.rules, tt.want...)
		})
	}
}

// TestClosedFrontendLeavesItsSiblingOpen: one address, one port that may be reached and one that may not.
func TestClosedFrontendLeavesItsSiblingOpen(t *testing.T) {
	s := shop()
	s.Services[0].Spec.Ports = []corev1.ServicePort{{Name: "good", Port: 80}, {Name: "bad", Port: 81}}
	good, bad := slice("x/shop", "10.0.0.1", 80), slice("x/shop", "10.0.0.1", 8080)
	good.Ports[0].Name, bad.Ports[0].Name = new("good"), new("bad")
	s.EndpointSlices = endpointSlices(good, bad)
	checkEgress(t, s, `[{ports: [{port: 80, endPort: 81}]}]`,
		"0: 0.0.0.0/0 except 172.20.0.1/32 on TCP/80-81", "0: 172.20.0.1 on TCP/80", "0: ::/0 on TCP/80-81")
}

// TestTwoClosedPortsAreOneException: an exception is an address, whatever the number of its ports.
func TestTwoClosedPortsAreOneException(t *testing.T) {
	s := shop()
	s.Services[0].Spec.Ports = append(s.Services[0].Spec.Ports, corev1.ServicePort{Port: 81})
	checkEgress(t, s, `[{to: [{ipBlock: {cidr: 172.20.0.0/16}}]}]`, "0: 172.20.0.0/16 except 172.20.0.1/32")
}

// TestManyClosedServices: what is closed costs about the same for each Service, however many there are. Eight times as
// many would take 64 times the memory if the list of exceptions were copied for each.
func TestManyClosedServices(t *testing.T) {
	few, many := memoryToClose(t, 500), memoryToClose(t, 4000)
	if many > 16*few {
		t.Errorf("%d bytes to close 500 Services, %d to close 4,000", few, many)
	}
}

// memoryToClose is what it takes to resolve a policy whose block surrounds n Services and allows no backend of theirs.
func memoryToClose(t *testing.T, n int) uint64 {
	t.Helper()
	s := &Snapshot{}
	for i := range n {
		key := fmt.Sprintf("x/s-%d", i)
		s.Services = append(s.Services, service(key, fmt.Sprintf("172.20.%d.%d", i/256, i%256), 443))
		s.EndpointSlices = append(s.EndpointSlices, slice(key, "10.0.0.1", 8443))
	}
	x, _ := NewIndex(s)
	p := policy(t, "x/p", `{policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	direct := x.egressEntries(x.parse(p).egress)
	got := x.throughServices(direct)
	runtime.ReadMemStats(&after)
	if len(got[0].except) != n {
		t.Fatalf("%d exceptions, want %d", len(got[0].except), n)
	}
	return after.TotalAlloc - before.TotalAlloc
}

func TestBackends(t *testing.T) {
	direct := []string{"0: 10.0.0.1", "0: 10.0.0.2", "0: 10.0.0.3"}
	open := append(direct[:3:3], "0: 172.20.0.1 on TCP/80")
	tests := map[string]struct {
		change func(*Snapshot)
		want   []string
	}{
		"no selector is compared": {func(s *Snapshot) {
			s.Services[0].Spec.Selector = map[string]string{"app": "none"}
		}, open},
		"not ready, but a backend that the rule allows": {func(s *Snapshot) {
			s.EndpointSlices[0].Endpoints[1].Conditions.Ready = new(false)
		}, open},
		"not ready, and not allowed": {func(s *Snapshot) {
			s.EndpointSlices[0].Endpoints[1] = discoveryv1.Endpoint{
				Addresses: []string{"10.9.9.9"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)},
			}
		}, direct},
		"in a second slice, and not allowed": {func(s *Snapshot) {
			s.EndpointSlices = append(s.EndpointSlices, slice("x/shop", "10.9.9.9", 9999))
		}, direct},
		"outside the cluster": {func(s *Snapshot) {
			s.EndpointSlices = endpointSlices(slice("x/shop", "192.0.2.1", 8080))
		}, direct},
		"none": {func(s *Snapshot) { s.EndpointSlices = nil }, direct},
		"another Service": {func(s *Snapshot) {
			s.EndpointSlices[0].Labels[discoveryv1.LabelServiceName] = "other"
		}, direct},
		"another namespace": {func(s *Snapshot) { s.EndpointSlices[0].Namespace = "y" }, direct},
		"another port name": {func(s *Snapshot) { s.EndpointSlices[0].Ports[0].Name = new("other") }, direct},
		"another protocol": {func(s *Snapshot) {
			s.EndpointSlices[0].Ports[0].Protocol = new(corev1.ProtocolUDP)
		}, direct},
		"no port number": {func(s *Snapshot) { s.EndpointSlices[0].Ports[0].Port = nil }, direct},
		"headless": {func(s *Snapshot) {
			s.Services[0].Spec.ClusterIP, s.Services[0].Spec.ClusterIPs = "None", []string{"None"}
		}, direct},
		"of the other family": {func(s *Snapshot) {
			s.Services[0].Spec.ClusterIPs, s.Services[0].Spec.ClusterIP = []string{"fd00:20::1"}, "fd00:20::1"
		}, direct},
		"clusterIP alone": {func(s *Snapshot) { s.Services[0].Spec.ClusterIPs = nil }, open},
		"two Services with one address": {func(s *Snapshot) {
			s.Services = append(s.Services, service("x/late", "172.20.0.1", 80))
			s.EndpointSlices = append(s.EndpointSlices, slice("x/late", "10.9.9.9", 80))
		}, direct},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := shop()
			tt.change(s)
			checkEgress(t, s, `[{to: [{podSelector: {}}]}]`, tt.want...)
		})
	}
}

// TestDualStackService: each ClusterIP follows the backends of its own family.
func TestDualStackService(t *testing.T) {
	s := &Snapshot{
		Services:       []*corev1.Service{service("x/shop", "172.20.0.1 fd00:20::1", 80)},
		EndpointSlices: endpointSlices(slice("x/shop", "10.0.0.1", 8080), slice("x/shop", "fd00::1", 8081)),
		Pods:           []*corev1.Pod{newTestPod("x/a", "10.0.0.1 fd00::1")},
	}
	checkEgress(t, s, `[{to: [{podSelector: {}}], ports: [{port: 8081}]}]`,
		"0: 10.0.0.1 on TCP/8081", "0: fd00::1 on TCP/8081", "0: fd00:20::1 on TCP/80")
}
