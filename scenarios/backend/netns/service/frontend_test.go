package service_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// web is a dual-stack Service with one unnamed port 80.
func web() *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	s.Spec.ClusterIPs = []string{"10.96.0.1", "fd96::1"}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	return s
}

// behind is a slice of Service web with target port 8080.
func behind(family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: family, Endpoints: endpoints}
	s.Namespace, s.Labels = "default", map[string]string{discoveryv1.LabelServiceName: "web"}
	s.Ports = []discoveryv1.EndpointPort{{Port: ptr.To[int32](8080)}}
	return s
}

func at(addr string) discoveryv1.Endpoint { return discoveryv1.Endpoint{Addresses: []string{addr}} }

func with(e discoveryv1.Endpoint, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
	e.Conditions = c
	return e
}

func on(e discoveryv1.Endpoint, node string) discoveryv1.Endpoint {
	e.NodeName = &node
	return e
}

func frontend(addr string, endpoints ...string) service.Frontend {
	f := service.Frontend{Protocol: flow.TCP, Addr: netip.MustParseAddrPort(addr)}
	for _, e := range endpoints {
		f.Endpoints = append(f.Endpoints, netip.MustParseAddrPort(e))
	}
	return f
}

func TestFrontends(t *testing.T) {
	unready := discoveryv1.EndpointConditions{Ready: ptr.To(false)}
	draining := discoveryv1.EndpointConditions{
		Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true),
	}
	const v4, v6 = "10.96.0.1:80", "[fd96::1]:80"
	for name, c := range map[string]struct {
		change func(*corev1.Service)
		slices []*discoveryv1.EndpointSlice
		want   []service.Frontend
	}{
		"no endpoints": {want: []service.Frontend{frontend(v4), frontend(v6)}},
		"endpoints of both families, once each, in order": {
			slices: []*discoveryv1.EndpointSlice{
				behind(discoveryv1.AddressTypeIPv4, at("10.0.0.2"), at("10.0.0.1")),
				behind(discoveryv1.AddressTypeIPv4, at("10.0.0.2")),
				behind(discoveryv1.AddressTypeIPv6, at("fd00::1")),
			},
			want: []service.Frontend{
				frontend(v4, "10.0.0.1:8080", "10.0.0.2:8080"), frontend(v6, "[fd00::1]:8080"),
			},
		},
		"only ready endpoints": {
			slices: []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4,
				at("10.0.0.1"), with(at("10.0.0.2"), unready), with(at("10.0.0.3"), draining))},
			want: []service.Frontend{frontend(v4, "10.0.0.1:8080"), frontend(v6)},
		},
		"those that terminate where none is ready": {
			slices: []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4,
				with(at("10.0.0.2"), unready), with(at("10.0.0.3"), draining))},
			want: []service.Frontend{frontend(v4, "10.0.0.3:8080"), frontend(v6)},
		},
		"only those of the own node": {
			change: func(s *corev1.Service) {
				s.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
			},
			slices: []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4,
				on(at("10.0.0.1"), "here"), on(at("10.0.0.2"), "there"), at("10.0.0.3"))},
			want: []service.Frontend{frontend(v4, "10.0.0.1:8080"), frontend(v6)},
		},
		"a port of another name leads nowhere": {
			change: func(s *corev1.Service) { s.Spec.Ports[0].Name = "http" },
			slices: []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4, at("10.0.0.1"))},
			want:   []service.Frontend{frontend(v4), frontend(v6)},
		},
		"headless":     {change: func(s *corev1.Service) { s.Spec.ClusterIPs = []string{corev1.ClusterIPNone} }},
		"no addresses": {change: func(s *corev1.Service) { s.Spec.ClusterIPs = nil }},
		"an external name": {change: func(s *corev1.Service) {
			s.Spec.Type = corev1.ServiceTypeExternalName
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := web()
			if c.change != nil {
				c.change(s)
			}
			got, err := service.Proxy{Node: "here", Services: []*corev1.Service{s}, Slices: c.slices}.Frontends()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestASliceOfAnotherServiceDoesNotCount(t *testing.T) {
	for name, change := range map[string]func(*discoveryv1.EndpointSlice){
		"namespace": func(s *discoveryv1.EndpointSlice) { s.Namespace = "other" },
		"service":   func(s *discoveryv1.EndpointSlice) { s.Labels[discoveryv1.LabelServiceName] = "other" },
		"protocol":  func(s *discoveryv1.EndpointSlice) { s.Ports[0].Protocol = ptr.To(corev1.ProtocolUDP) },
		"no number": func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = nil },
	} {
		slice := behind(discoveryv1.AddressTypeIPv4, at("10.0.0.1"))
		change(slice)
		proxy := service.Proxy{Services: []*corev1.Service{web()}, Slices: []*discoveryv1.EndpointSlice{slice}}
		got, err := proxy.Frontends()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(got, func(f service.Frontend) bool { return len(f.Endpoints) > 0 }) {
			t.Errorf("%s: the slice of another is used: %v", name, got)
		}
	}
}

func TestFrontendsThatCannotBeServed(t *testing.T) {
	bad := web()
	bad.Spec.ClusterIPs = []string{"10.96.0.300"}
	strange := web()
	strange.Spec.Ports[0].Protocol = "ICMP"
	for name, p := range map[string]service.Proxy{
		"two services with one address": {Services: []*corev1.Service{web(), web()}},
		"an address that is none":       {Services: []*corev1.Service{bad}},
		"a protocol without ports":      {Services: []*corev1.Service{strange}},
		"an endpoint that is none": {
			Services: []*corev1.Service{web()},
			Slices:   []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4, at("x"))},
		},
		"an endpoint without address": {
			Services: []*corev1.Service{web()},
			Slices:   []*discoveryv1.EndpointSlice{behind(discoveryv1.AddressTypeIPv4, discoveryv1.Endpoint{})},
		},
	} {
		if got, err := p.Frontends(); err == nil {
			t.Errorf("%s: served as %v", name, got)
		}
	}
}
