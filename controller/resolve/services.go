package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
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
	list  []endpoint // ready or not
}

// endpoint is one address of an EndpointSlice.
type endpoint struct {
	addr netip.Addr
	pod  types.UID // empty where it is no pod's
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
		for _, a := range addrs {
			e.list = append(e.list, endpoint{a, podBehind(s.Endpoints[i].TargetRef)})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("endpointslice %s/%s: endpoints[%d]: %w", s.Namespace, s.Name, i, err))
		}
	}
	return e, errors.Join(errs...)
}

// without returns e without those endpoints that have left.
func (e endpoints) without(left func(endpoint) bool) endpoints {
	return endpoints{e.ports, slices.DeleteFunc(slices.Clone(e.list), left)}
}

// podBehind returns the pod that ref means; empty for anything else.
func podBehind(ref *corev1.ObjectReference) types.UID {
	if ref == nil || ref.Kind != "Pod" {
		return ""
	}
	return ref.UID
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

// frontendsAt returns the ports of the ClusterIP a that lead somewhere: to those that stay, or else to all, since a
// Service that has lost every backend is no reason to open anything.
func frontendsAt(a netip.Addr, ports []corev1.ServicePort, all, staying []endpoints) []*frontend {
	var found []*frontend
	for i := range ports {
		p := &ports[i]
		f := &frontend{frontendKey: frontendKey{a, cmp.Or(p.Protocol, corev1.ProtocolTCP), uint16(p.Port)}}
		f.backends = f.backendsOf(p.Name, staying)
		if len(f.backends) == 0 {
			f.backends = f.backendsOf(p.Name, all)
		}
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
				found = append(found, f.onPort(e.list, uint16(*p.Port))...)
			}
		}
	}
	return sortedBackends(found)
}

// onPort returns those of list that have f's family.
func (f *frontend) onPort(list []endpoint, port uint16) []netip.AddrPort {
	var found []netip.AddrPort
	for _, e := range list {
		if e.addr.Is4() == f.addr.Is4() {
			found = append(found, netip.AddrPortFrom(e.addr, port))
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
