package service_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// node is what the proxy of a dual-stack node called near knows.
func node(s *corev1.Service, pods ...*corev1.Pod) service.Proxy {
	return service.Proxy{
		Node: "near", Addrs: []netip.Addr{netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("fd07::1")},
		Pods: pods, Services: []*corev1.Service{s}, Slices: []*discoveryv1.EndpointSlice{
			behind(discoveryv1.AddressTypeIPv4, on(at("10.0.0.1"), "near"), on(at("10.0.0.2"), "far")),
			behind(discoveryv1.AddressTypeIPv6, on(at("fd0a::2"), "far")),
		},
	}
}

func masquerade(f service.Frontend) service.Frontend {
	f.Masquerade = true
	return f
}

func TestNodePorts(t *testing.T) {
	four, six := frontend("10.96.0.1:80", "10.0.0.1:8080", "10.0.0.2:8080"), frontend("[fd96::1]:80", "[fd0a::2]:8080")
	for name, c := range map[string]struct {
		policy corev1.ServiceExternalTrafficPolicy
		port   int32
		want   []service.Frontend
	}{
		"no node port": {"", 0, []service.Frontend{four, six}},
		"all endpoints, by the node's address": {corev1.ServiceExternalTrafficPolicyCluster, 30080, []service.Frontend{
			four, masquerade(frontend("192.168.7.1:30080", "10.0.0.1:8080", "10.0.0.2:8080")),
			masquerade(frontend("[fd07::1]:30080", "[fd0a::2]:8080")), six,
		}},
		"those of the node, by the client's address": {corev1.ServiceExternalTrafficPolicyLocal, 30080, []service.Frontend{
			four, frontend("192.168.7.1:30080", "10.0.0.1:8080"), six,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := web()
			s.Spec.ExternalTrafficPolicy, s.Spec.Ports[0].NodePort = c.policy, c.port
			got, err := node(s).Frontends()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostPorts(t *testing.T) {
	pod := func(node, ip string, port int32) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{
			{ContainerPort: 80, HostPort: port}, {ContainerPort: 81},
		}}}
		p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
		return p
	}
	ended, host := pod("near", "10.0.0.3", 8083), pod("near", "192.168.7.1", 8084)
	ended.Status.Phase, host.Spec.HostNetwork = corev1.PodSucceeded, true
	near, far := pod("near", "10.0.0.1", 8081), pod("far", "10.0.0.2", 8082)
	got, err := node(&corev1.Service{}, near, far, ended, host).Frontends()
	if err != nil {
		t.Fatal(err)
	}
	want := []service.Frontend{frontend("192.168.7.1:8081", "10.0.0.1:80")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
}
