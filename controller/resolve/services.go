package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// frontend is one port of one ClusterIP, and where a packet to it may end up.
type frontend struct {
	frontendKey
	backends []netip.AddrPort // sorted, at least one; all of addr's family
}

// frontendKey is what a packet to a Service is addressed to.
type frontendKey struct {
	addr     netip.Addr
	protocol corev1.Protocol
	port     uint16
}

func compareFrontends(a, b *frontend) int {
	return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
}

// endpoints is an EndpointSlice of a Service.
type endpoints struct {
	ports []discoveryv1.EndpointPort
	addrs []netip.Addr // ready or not
}

// endpointsOf reads a slice. The error names addresses that are ignored.
func endpointsOf(s *discoveryv1.EndpointSlice) (endpoints, error) {
	e := endpoints{ports: s.Ports}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return e, nil
	}
	var errs []error
	for i := range s.Endpoints {
		addrs, err := parseAddrs(s.Endpoints[i].Addresses)
		e.addrs = append(e.addrs, addrs...)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpointslice %s/%s: endpoints[%d]: %w", s.Namespace, s.Name, i, err))
		}
	}
	return e, errors.Join(errs...)
}

// clusterIPs returns the addresses of s; a headless Service has none.
func clusterIPs(s *corev1.Service) ([]netip.Addr, error) {
	written := s.Spec.ClusterIPs
	if len(written) == 0 {
		written = []string{s.Spec.ClusterIP}
	}
	written = slices.DeleteFunc(slices.Clone(written), func(w string) bool { return w == "" || w == corev1.ClusterIPNone })
	addrs, err := parseAddrs(written)
	if err != nil {
		return addrs, fmt.Errorf("spec.clusterIPs: %w", err)
	}
	return addrs, nil
}

// frontendsAt returns the ports of the ClusterIP a that lead somewhere.
func frontendsAt(a netip.Addr, ports []corev1.ServicePort, behind []endpoints) []*frontend {
	var found []*frontend
	for i := range ports {
		p := &ports[i]
		f := &frontend{frontendKey: frontendKey{a, cmp.Or(p.Protocol, corev1.ProtocolTCP), uint16(p.Port)}}
		f.backends = f.backendsOf(p.Name, behind)
		if validPort(p.Port) && len(f.backends) > 0 {
			found = append(found, f)
		}
	}
	return found
}

// backendsOf collects every endpoint of f's family, on the endpoint port that has f's protocol and the name of the
// Service's port.
func (f *frontend) backendsOf(portName string, behind []endpoints) []netip.AddrPort {
	var found []netip.AddrPort
	for _, e := range behind {
		for i := range e.ports {
			p := &e.ports[i]
			matches := deref(p.Name, "") == portName && deref(p.Protocol, corev1.ProtocolTCP) == f.protocol
			if matches && p.Port != nil && validPort(*p.Port) {
				found = append(found, f.onPort(e.addrs, uint16(*p.Port))...)
			}
		}
	}
	return sortedBackends(found)
}

// onPort returns those of addrs that have f's family.
func (f *frontend) onPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	var found []netip.AddrPort
	for _, a := range addrs {
		if a.Is4() == f.addr.Is4() {
			found = append(found, netip.AddrPortFrom(a, port))
		}
	}
	return found
}

func sortedBackends(list []netip.AddrPort) []netip.AddrPort {
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list)
}

// deref returns what p points at, or what absence means.
func deref[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}
