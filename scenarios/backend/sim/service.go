package sim

import (
	"cmp"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// serviceAddr is one front of a Service: a ClusterIP and one of its ports.
type serviceAddr struct {
	netip.AddrPort
	flow.Protocol
}

// service does for one front what kube-proxy does on every node, taking turns between the backends.
type service struct {
	ready, serving []serviceBackend // serving: those that terminate but still answer
	local          bool             // internalTrafficPolicy: Local
	next           int
}

type serviceBackend struct {
	netip.AddrPort
	node string
}

// addService adds every ClusterIP and port of svc, with the endpoints of the same family behind it.
func addService(services map[serviceAddr]*service, svc *corev1.Service, slices []*discoveryv1.EndpointSlice) {
	for _, text := range append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...) {
		ip, err := netip.ParseAddr(text)
		if err != nil { // "" or "None"
			continue
		}
		for _, port := range svc.Spec.Ports {
			protocol, err := flow.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
			if err != nil {
				continue
			}
			front := serviceAddr{netip.AddrPortFrom(ip.Unmap(), uint16(port.Port)), protocol}
			services[front] = newService(svc, port, flow.FamilyOf(ip), slices)
		}
	}
}

func newService(svc *corev1.Service, port corev1.ServicePort, family flow.Family,
	slices []*discoveryv1.EndpointSlice,
) *service {
	policy := svc.Spec.InternalTrafficPolicy
	s := &service{local: policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal}
	for _, slice := range slices {
		number, ok := slicePort(slice, port)
		if slice.Namespace != svc.Namespace || slice.Labels[discoveryv1.LabelServiceName] != svc.Name || !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			s.add(e, number, family)
		}
	}
	return s
}

// add files e by its conditions. Consumers should use the first address of an endpoint only.
func (s *service) add(e discoveryv1.Endpoint, port uint16, family flow.Family) {
	if len(e.Addresses) == 0 {
		return
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	if err != nil || flow.FamilyOf(addr) != family {
		return
	}
	b := serviceBackend{AddrPort: netip.AddrPortFrom(addr.Unmap(), port)}
	if e.NodeName != nil {
		b.node = *e.NodeName
	}
	switch c := e.Conditions; {
	case c.Ready == nil || *c.Ready:
		s.ready = append(s.ready, b)
	case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
		s.serving = append(s.serving, b)
	}
}

// slicePort returns the number that a slice gives to a Service port; they share the port's name and protocol.
func slicePort(s *discoveryv1.EndpointSlice, port corev1.ServicePort) (uint16, bool) {
	for _, p := range s.Ports {
		name, protocol := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if p.Port != nil && name == port.Name && protocol == cmp.Or(port.Protocol, corev1.ProtocolTCP) {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

// pick returns the backend of the next connection from client, or false if nobody answers.
func (s *service) pick(client model.Endpoint) (netip.AddrPort, bool) {
	usable := s.usable(s.ready, client)
	if len(usable) == 0 {
		usable = s.usable(s.serving, client)
	}
	if len(usable) == 0 {
		return netip.AddrPort{}, false
	}
	s.next++
	return usable[(s.next-1)%len(usable)].AddrPort, true
}

func (s *service) usable(backends []serviceBackend, client model.Endpoint) []serviceBackend {
	if !s.local {
		return backends
	}
	var near []serviceBackend
	for _, b := range backends {
		if b.node == nodeOf(client) {
			near = append(near, b)
		}
	}
	return near
}

func nodeOf(e model.Endpoint) string {
	switch {
	case e.Pod != nil:
		return e.Pod.Spec.NodeName
	case e.Node != nil:
		return e.Node.Name
	}
	return ""
}
