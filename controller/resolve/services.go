package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// frontend is one port of one ClusterIP, and where a packet to it may end up.
type frontend struct {
	addr     netip.Addr
	protocol corev1.Protocol
	port     uint16
	backends []netip.AddrPort // sorted; all of addr's family
}

func compareFrontends(a, b *frontend) int {
	return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
}

// endpoints is an EndpointSlice of a Service.
type endpoints struct {
	ports []discoveryv1.EndpointPort
	addrs []netip.Addr // ready or not
}

// serviceKey names a Service.
type serviceKey struct{ namespace, name string }

// frontendsOf lists the frontends that lead somewhere, sorted. EndpointSlices decide where, never selectors. The errors
// name addresses that are ignored.
func frontendsOf(services []*corev1.Service, slice []*discoveryv1.EndpointSlice) ([]*frontend, []error) {
	behind, errs := endpointsByService(slice)
	var all []*frontend
	for _, s := range services {
		addrs, err := clusterIPs(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err))
		}
		for _, a := range addrs {
			all = append(all, frontendsAt(a, s.Spec.Ports, behind[serviceKey{s.Namespace, s.Name}])...)
		}
	}
	slices.SortFunc(all, compareFrontends)
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return merged(all), errs
}

// merged makes one frontend of those that two Services claim, which happens for a moment when an address is reused:
// the packet may end up at the backends of either.
func merged(sorted []*frontend) []*frontend {
	var result []*frontend
	for _, f := range sorted {
		last := len(result) - 1
		if last < 0 || compareFrontends(result[last], f) != 0 {
			result = append(result, f)
			continue
		}
		result[last].backends = sortedBackends(append(result[last].backends, f.backends...))
	}
	return result
}

// endpointsByService reads the slices that have addresses and say which Service they are of.
func endpointsByService(slice []*discoveryv1.EndpointSlice) (map[serviceKey][]endpoints, []error) {
	behind := map[serviceKey][]endpoints{}
	var errs []error
	for _, s := range slice {
		service := s.Labels[discoveryv1.LabelServiceName]
		if service == "" || s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		e := endpoints{ports: s.Ports}
		for i := range s.Endpoints {
			addrs, err := parseAddrs(s.Endpoints[i].Addresses)
			e.addrs = append(e.addrs, addrs...)
			if err != nil {
				errs = append(errs, fmt.Errorf("endpointslice %s/%s: endpoints[%d]: %w", s.Namespace, s.Name, i, err))
			}
		}
		key := serviceKey{s.Namespace, service}
		behind[key] = append(behind[key], e)
	}
	return behind, errs
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
		f := &frontend{addr: a, protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), port: uint16(p.Port)}
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
