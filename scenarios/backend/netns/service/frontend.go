package service

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Frontend is one port of a Service in one address family.
type Frontend struct {
	Protocol  flow.Protocol
	Addr      netip.AddrPort   // ClusterIP and Service port
	Endpoints []netip.AddrPort // ready ones, sorted, without duplicates; none: connections are refused
}

// Compare orders frontends by protocol, then address.
func (f Frontend) Compare(g Frontend) int {
	return cmp.Or(cmp.Compare(f.Protocol, g.Protocol), f.Addr.Compare(g.Addr))
}

// Frontends returns what a proxy would serve, sorted. Headless and ExternalName Services have no frontend. It is an
// error if an address cannot be read or two Services share one.
func Frontends(services []*corev1.Service, all []*discoveryv1.EndpointSlice) ([]Frontend, error) {
	var out []Frontend
	for _, s := range services {
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		fs, err := frontendsOf(s, slicesOf(s, all))
		if err != nil {
			return nil, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err)
		}
		out = append(out, fs...)
	}
	slices.SortFunc(out, Frontend.Compare)
	for i := 1; i < len(out); i++ {
		if out[i-1].Compare(out[i]) == 0 {
			return nil, fmt.Errorf("two services have %s/%s", out[i].Protocol, out[i].Addr)
		}
	}
	return out, nil
}

func slicesOf(s *corev1.Service, all []*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	return slices.DeleteFunc(slices.Clone(all), func(e *discoveryv1.EndpointSlice) bool {
		return e.Namespace != s.Namespace || e.Labels[discoveryv1.LabelServiceName] != s.Name
	})
}

func frontendsOf(s *corev1.Service, own []*discoveryv1.EndpointSlice) ([]Frontend, error) {
	var out []Frontend
	for _, ip := range clusterIPs(s) {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return nil, fmt.Errorf("cluster IP: %w", err)
		}
		for _, port := range s.Spec.Ports {
			f, err := frontend(addr, port, own)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
	}
	return out, nil
}

// clusterIPs are the virtual addresses of s, none for a headless Service.
func clusterIPs(s *corev1.Service) []string {
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{s.Spec.ClusterIP}
	}
	return slices.DeleteFunc(slices.Clone(ips), func(ip string) bool { return ip == "" || ip == corev1.ClusterIPNone })
}

func frontend(addr netip.Addr, port corev1.ServicePort, own []*discoveryv1.EndpointSlice) (Frontend, error) {
	proto, err := protocol(port.Protocol)
	if err != nil {
		return Frontend{}, err
	}
	f := Frontend{Protocol: proto, Addr: netip.AddrPortFrom(addr, uint16(port.Port))}
	for _, slice := range own {
		n, ok := targetPort(slice, port.Name, proto)
		if !ok {
			continue
		}
		ready, err := readyAddrs(slice, flow.FamilyOf(addr))
		if err != nil {
			return Frontend{}, fmt.Errorf("endpoint slice %s: %w", slice.Name, err)
		}
		for _, a := range ready {
			f.Endpoints = append(f.Endpoints, netip.AddrPortFrom(a, n))
		}
	}
	slices.SortFunc(f.Endpoints, netip.AddrPort.Compare)
	f.Endpoints = slices.Compact(f.Endpoints)
	return f, nil
}

// protocol reads a protocol of the API, whose default is TCP.
func protocol(p corev1.Protocol) (flow.Protocol, error) {
	return flow.ParseProtocol(string(cmp.Or(p, corev1.ProtocolTCP)))
}

// targetPort finds the port of a slice that a Service port of this name and protocol leads to.
func targetPort(slice *discoveryv1.EndpointSlice, name string, proto flow.Protocol) (uint16, bool) {
	for _, p := range slice.Ports {
		if ptr.Deref(p.Name, "") == name && string(ptr.Deref(p.Protocol, corev1.ProtocolTCP)) == proto.String() &&
			p.Port != nil {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

// readyAddrs are the addresses of a family behind which an endpoint is ready. The API calls only the first address of
// an endpoint meaningful, and an endpoint that does not say ready.
func readyAddrs(slice *discoveryv1.EndpointSlice, family flow.Family) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, e := range slice.Endpoints {
		if !ptr.Deref(e.Conditions.Ready, true) || len(e.Addresses) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
		if flow.FamilyOf(addr) == family {
			out = append(out, addr)
		}
	}
	return out, nil
}
