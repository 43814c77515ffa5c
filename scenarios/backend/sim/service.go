package sim

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// serviceAddr is one front of a Service: a ClusterIP and one of its ports, or a node and a node port or host port.
type serviceAddr struct {
	netip.AddrPort
	flow.Protocol
}

// service does for one front what kube-proxy does on every node, taking turns between the backends.
type service struct {
	ready, serving []serviceBackend // serving: those that terminate but still answer
	local          bool             // only backends on node, or of the client's node where node is empty
	node           string           // at which a node port is called
	masquerade     model.Endpoint   // whose address the client's is replaced by, unset for nobody's
	next           int
	last           netip.AddrPort // that was picked
}

type serviceBackend struct {
	netip.AddrPort
	node string
}

// addService adds every ClusterIP and port of svc, with the endpoints of the same family behind it, and its node ports.
func (n *network) addService(svc *corev1.Service, c *model.Cluster) {
	for _, port := range svc.Spec.Ports {
		for _, ip := range parseAddrs(append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...)) {
			s := newService(svc, port, flow.FamilyOf(ip), c.EndpointSlices)
			policy := svc.Spec.InternalTrafficPolicy
			s.local = policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal
			n.addFront(netip.AddrPortFrom(ip, uint16(port.Port)), port.Protocol, s)
			if port.NodePort != 0 {
				n.addNodePorts(svc, port, ip, c)
			}
		}
	}
}

// addNodePorts adds a port at the addresses that all nodes have in the family of ip. Where the Service spreads what
// comes from outside over all nodes, the node of entry puts its own address in place of the client's.
func (n *network) addNodePorts(svc *corev1.Service, port corev1.ServicePort, ip netip.Addr, c *model.Cluster) {
	for _, node := range c.Nodes {
		for _, addr := range parseAddrs(nodeAddrs(node)) {
			if flow.FamilyOf(addr) != flow.FamilyOf(ip) {
				continue
			}
			s := newService(svc, port, flow.FamilyOf(ip), c.EndpointSlices)
			s.node = node.Name
			if s.local = svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal; !s.local {
				s.masquerade = model.Endpoint{Node: node}
			}
			n.addFront(netip.AddrPortFrom(addr, uint16(port.NodePort)), port.Protocol, s)
		}
	}
}

// addHostPorts leads host ports to the pod that declares them.
func (n *network) addHostPorts(pod *corev1.Pod, nodes []*corev1.Node) {
	for _, node := range nodes {
		if node.Name != pod.Spec.NodeName || pod.Spec.HostNetwork || len(podAddrs(pod)) == 0 {
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				n.addHostPort(node, pod, port)
			}
		}
	}
}

func (n *network) addHostPort(node *corev1.Node, pod *corev1.Pod, port corev1.ContainerPort) {
	for _, at := range parseAddrs(nodeAddrs(node)) {
		for _, addr := range parseAddrs(podAddrs(pod)) {
			if port.HostPort != 0 && flow.FamilyOf(at) == flow.FamilyOf(addr) {
				to := serviceBackend{AddrPort: netip.AddrPortFrom(addr, uint16(port.ContainerPort))}
				front := netip.AddrPortFrom(at, uint16(port.HostPort))
				n.addFront(front, port.Protocol, &service{ready: []serviceBackend{to}})
			}
		}
	}
}

func (n *network) addFront(at netip.AddrPort, protocol corev1.Protocol, s *service) {
	if p, err := flow.ParseProtocol(string(cmp.Or(protocol, corev1.ProtocolTCP))); err == nil {
		n.services[serviceAddr{at, p}] = s
	}
}

// parseAddrs leaves out what is no address, such as the "None" of a headless Service, and what is repeated.
func parseAddrs(texts []string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

func newService(svc *corev1.Service, port corev1.ServicePort, family flow.Family,
	endpoints []*discoveryv1.EndpointSlice,
) *service {
	s := &service{}
	for _, slice := range endpoints {
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
	s.last = usable[s.next%len(usable)].AddrPort
	s.next++
	return s.last, true
}

func (s *service) usable(backends []serviceBackend, client model.Endpoint) []serviceBackend {
	if !s.local {
		return backends
	}
	var near []serviceBackend
	for _, b := range backends {
		if b.node == cmp.Or(s.node, nodeOf(client)) {
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
