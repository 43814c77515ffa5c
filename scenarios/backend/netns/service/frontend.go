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

// Frontend is one port of a Service in one address family, as one node serves it.
type Frontend struct {
	Protocol  flow.Protocol
	Addr      netip.AddrPort   // ClusterIP and Service port, or the node's address and a node port or host port
	Endpoints []netip.AddrPort // sorted, without duplicates; none: connections are refused
	// Masquerade replaces the source by an address of the node.
	Masquerade bool
}

// Compare orders frontends by protocol, then address.
func (f Frontend) Compare(g Frontend) int {
	return cmp.Or(cmp.Compare(f.Protocol, g.Protocol), f.Addr.Compare(g.Addr))
}

// Proxy is what kube-proxy of one node knows.
type Proxy struct {
	Node     string       // name; matters to Services that keep traffic local only
	Addrs    []netip.Addr // of the node: where its node ports and host ports are
	Pods     []*corev1.Pod
	Services []*corev1.Service
	Slices   []*discoveryv1.EndpointSlice
}

// Frontends returns what the node serves, sorted. Headless and ExternalName Services have no frontend. It is an error
// if an address cannot be read or two Services share one.
func (p Proxy) Frontends() ([]Frontend, error) {
	var out []Frontend
	for _, s := range p.Services {
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		fs, err := p.frontendsOf(s)
		if err != nil {
			return nil, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err)
		}
		out = append(out, fs...)
	}
	more, err := p.HostPorts()
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	slices.SortFunc(out, Frontend.Compare)
	for i := 1; i < len(out); i++ {
		if out[i-1].Compare(out[i]) == 0 {
			return nil, fmt.Errorf("two services have %s/%s", out[i].Protocol, out[i].Addr)
		}
	}
	return out, nil
}

func (p Proxy) frontendsOf(s *corev1.Service) ([]Frontend, error) {
	var out []Frontend
	for _, ip := range clusterIPs(s) {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return nil, fmt.Errorf("cluster IP: %w", err)
		}
		for _, port := range s.Spec.Ports {
			f, err := p.frontend(s, addr.Unmap(), port)
			if err != nil {
				return nil, err
			}
			more, err := p.nodePorts(s, f, port)
			if err != nil {
				return nil, err
			}
			out = append(append(out, f), more...)
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

// frontend takes the ready endpoints, and if there are none those that still serve while they terminate.
func (p Proxy) frontend(s *corev1.Service, addr netip.Addr, port corev1.ServicePort) (Frontend, error) {
	proto, err := flow.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
	if err != nil {
		return Frontend{}, err
	}
	f := Frontend{Protocol: proto, Addr: netip.AddrPortFrom(addr, uint16(port.Port))}
	local := ptr.Deref(s.Spec.InternalTrafficPolicy, "") == corev1.ServiceInternalTrafficPolicyLocal
	f.Endpoints, err = p.usable(s, f, port.Name, local)
	return f, err
}

// usable are the endpoints that a new connection may go to.
func (p Proxy) usable(s *corev1.Service, f Frontend, port string, local bool) (found []netip.AddrPort, err error) {
	for _, usable := range []func(discoveryv1.EndpointConditions) bool{ready, draining} {
		if found, err = p.endpoints(s, f, port, local, usable); err != nil || len(found) > 0 {
			break
		}
	}
	return found, err
}

// ready is true for an endpoint that does not say.
func ready(c discoveryv1.EndpointConditions) bool { return ptr.Deref(c.Ready, true) }

func draining(c discoveryv1.EndpointConditions) bool {
	return ptr.Deref(c.Serving, false) && ptr.Deref(c.Terminating, false)
}

// endpoints are those behind a port of s whose conditions are usable.
func (p Proxy) endpoints(
	s *corev1.Service, f Frontend, port string, local bool, usable func(discoveryv1.EndpointConditions) bool,
) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, slice := range p.Slices {
		number, ok := targetPort(slice, port, f.Protocol)
		if !ok || slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		for _, e := range slice.Endpoints {
			if !usable(e.Conditions) || local && ptr.Deref(e.NodeName, "") != p.Node {
				continue
			}
			addr, err := endpointAddr(e)
			if err != nil {
				return nil, fmt.Errorf("endpoint slice %s: %w", slice.Name, err)
			}
			if flow.FamilyOf(addr) == flow.FamilyOf(f.Addr.Addr()) {
				out = append(out, netip.AddrPortFrom(addr, number))
			}
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out), nil
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

// endpointAddr is the first address of an endpoint; the API asks consumers to ignore others.
func endpointAddr(e discoveryv1.Endpoint) (netip.Addr, error) {
	if len(e.Addresses) == 0 {
		return netip.Addr{}, fmt.Errorf("an endpoint has no address")
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return netip.Addr{}, fmt.Errorf("endpoint: %w", err)
	}
	return addr.Unmap(), nil
}
