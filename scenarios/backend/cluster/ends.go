package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model/flow"
)

// nodePrefix is what names of nodes begin with where pods could stand too.
const nodePrefix = "node/"

// listening is a port at which somebody of ours answers: a pod, or the node of a name.
type listening struct {
	owner    string // "namespace/pod", or "node/NAME" with the node's real name
	protocol flow.Protocol
	at       netip.AddrPort
}

// place says where connections from a name are opened. What lives in a node's network is not told apart there: it
// shares the node's ports.
func (s *session) place(name string) (owner string, err error) {
	if node, ok := strings.CutPrefix(name, nodePrefix); ok && s.names.node[node] != "" {
		return nodePrefix + s.names.node[node], nil
	}
	if o, ok := s.outsiderCalled(name); ok {
		return o.owner(), nil
	}
	p := s.podCalled(name)
	switch {
	case p == nil:
		return "", fmt.Errorf("there is no pod, node or host %s", name)
	case p.Spec.HostNetwork:
		return nodePrefix + s.names.node[p.Spec.NodeName], nil
	}
	return name, nil
}

// ownerOf is the scenario's name of a pod as one who listens and calls.
func ownerOf(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

func (s *session) podCalled(name string) *corev1.Pod {
	for _, p := range s.view.Pods {
		if ownerOf(p) == name {
			return p
		}
	}
	return nil
}

// linkTo returns the way to the probe of an owner.
func (s *session) linkTo(ctx context.Context, owner string) (*link, error) {
	if node, ok := strings.CutPrefix(owner, nodePrefix); ok {
		return s.backend.hosts.link(ctx, node)
	}
	s.linkMu.Lock()
	defer s.linkMu.Unlock()
	if l := s.links[owner]; l != nil {
		return l, nil
	}
	if o, ok := s.outsiderOf(owner); ok {
		s.links[owner] = s.dialOutside(o)
		return s.links[owner], nil
	}
	namespace, name, _ := strings.Cut(owner, "/")
	r := s.have[key{kindPod, s.names.namespace(namespace), s.names.pod(namespace, name)}]
	if r == nil {
		return nil, fmt.Errorf("there is no pod %s", owner)
	}
	l := s.backend.dial(target{r.namespace, r.name, serving(r.pod)})
	s.links[owner] = l
	return l, nil
}

// forget ends what is known of the probe of a pod that goes, or whose container does.
func (s *session) forget(r *record) {
	if r.pod == nil {
		return
	}
	s.linkMu.Lock()
	defer s.linkMu.Unlock()
	owner := ownerOf(r.pod)
	if l := s.links[owner]; l != nil {
		l.close()
		delete(s.links, owner)
	}
	for at := range s.open {
		if at.owner == owner {
			delete(s.open, at)
		}
	}
	for name, l := range s.lines {
		if l.owner == owner {
			delete(s.lines, name) // it went with its opener
		}
	}
}

// arrivals returns where a connection to an address may arrive: there, or behind a Service, a node port or a host port.
func (s *session) arrivals(proto flow.Protocol, to netip.AddrPort) []listening {
	for _, svc := range s.view.Services {
		for _, port := range svc.Spec.Ports {
			if string(port.Protocol) != proto.String() {
				continue
			}
			node, _ := s.nodeAt(to.Addr())
			isService := slices.Contains(serviceAddrs(svc), to.Addr()) && int32(to.Port()) == port.Port
			if isService || node != "" && port.NodePort != 0 && int32(to.Port()) == port.NodePort {
				return s.behind(svc, port, to.Addr())
			}
		}
	}
	if node, ok := s.nodeAt(to.Addr()); ok {
		return []listening{s.atNode(node, proto, to)}
	}
	for _, p := range s.view.Pods {
		if slices.Contains(podAddrs(p), to.Addr()) && !hasEnded(p) {
			return []listening{{ownerOf(p), proto, to}}
		}
	}
	if o, ok := s.outsider(func(o outsider) bool { return slices.Contains(o.Addrs, to.Addr()) }); ok {
		return []listening{{o.owner(), proto, to}}
	}
	return nil
}

// atNode is a port of a node: the pod's that has it as a host port, else the node's own.
func (s *session) atNode(node string, proto flow.Protocol, to netip.AddrPort) listening {
	for _, p := range s.view.Pods {
		if p.Spec.NodeName != node || p.Spec.HostNetwork {
			continue
		}
		port, a := behindHostPort(p, proto, to.Port()), addrLike(podAddrs(p), to.Addr())
		if port != 0 && a.IsValid() {
			return listening{ownerOf(p), proto, netip.AddrPortFrom(a, port)}
		}
	}
	return listening{nodePrefix + s.names.node[node], proto, to}
}

// behindHostPort returns the container port behind a host port of a pod, 0 if there is none.
func behindHostPort(p *corev1.Pod, proto flow.Protocol, host uint16) uint16 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort == int32(host) && string(port.Protocol) == proto.String() {
				return uint16(port.ContainerPort)
			}
		}
	}
	return 0
}

// addrLike returns the first of addrs that has the family of a, which is not valid if there is none.
func addrLike(addrs []netip.Addr, a netip.Addr) netip.Addr {
	i := slices.IndexFunc(addrs, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return addrs[i]
}

// behind lists the endpoints of a port of a Service that have the family of an address.
func (s *session) behind(svc *corev1.Service, port corev1.ServicePort, like netip.Addr) []listening {
	var found []listening
	for _, e := range s.view.EndpointSlices {
		if e.Namespace != svc.Namespace || e.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		for _, p := range e.Ports {
			if p.Port == nil || ptr.Deref(p.Name, "") != port.Name {
				continue
			}
			for _, endpoint := range e.Endpoints {
				found = append(found, s.endpoint(endpoint, flow.PortProto{
					Protocol: protocolOf(port.Protocol), Port: uint16(*p.Port),
				}, like)...)
			}
		}
	}
	return found
}

// endpoint is where an endpoint answers in the family of an address, if a pod of ours is behind it.
func (s *session) endpoint(e discoveryv1.Endpoint, port flow.PortProto, like netip.Addr) []listening {
	if e.TargetRef == nil {
		return nil
	}
	owner, err := s.place(e.TargetRef.Namespace + "/" + e.TargetRef.Name)
	if err != nil {
		return nil // nobody of ours, so nobody can be asked
	}
	var found []listening
	for _, text := range e.Addresses {
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() == like.Is4() {
			found = append(found, listening{owner, port.Protocol, netip.AddrPortFrom(a, port.Port)})
		}
	}
	return found
}

// protocolOf returns 0 for what has no ports that could be probed.
func protocolOf(p corev1.Protocol) flow.Protocol {
	proto, err := flow.ParseProtocol(string(p))
	if err != nil {
		return 0
	}
	return proto
}
