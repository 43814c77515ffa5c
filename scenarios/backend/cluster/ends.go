package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

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

// place says where connections from a name are opened. What lives in a node's network is not told apart there: it shares
// the node's ports.
func (s *session) place(name string) (owner string, err error) {
	if node, ok := strings.CutPrefix(name, nodePrefix); ok && s.names.node[node] != "" {
		return nodePrefix + s.names.node[node], nil
	}
	p := s.podCalled(name)
	switch {
	case p == nil:
		return "", fmt.Errorf("there is no pod or node %s", name)
	case p.Spec.HostNetwork:
		return nodePrefix + s.names.node[p.Spec.NodeName], nil
	}
	return name, nil
}

func (s *session) podCalled(name string) *corev1.Pod {
	for _, p := range s.view.Pods {
		if p.Namespace+"/"+p.Name == name {
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
	namespace, name, _ := strings.Cut(owner, "/")
	r := s.have[key{kindPod, s.names.namespace(namespace), name}]
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
	owner := r.pod.Namespace + "/" + r.pod.Name
	if l := s.links[owner]; l != nil {
		l.close()
		delete(s.links, owner)
	}
	for at := range s.open {
		if at.owner == owner {
			delete(s.open, at)
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
			return []listening{{p.Namespace + "/" + p.Name, proto, to}}
		}
	}
	return nil
}

// atNode is a port of a node: the pod's that has it as a host port, else the node's own.
func (s *session) atNode(node string, proto flow.Protocol, to netip.AddrPort) listening {
	for _, p := range s.view.Pods {
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				if p.Spec.NodeName != node || p.Spec.HostNetwork || port.HostPort != int32(to.Port()) ||
					string(port.Protocol) != proto.String() {
					continue
				}
				for _, a := range podAddrs(p) {
					if a.Is4() == to.Addr().Is4() {
						return listening{p.Namespace + "/" + p.Name, proto, netip.AddrPortFrom(a, uint16(port.ContainerPort))}
					}
				}
			}
		}
	}
	return listening{nodePrefix + s.names.node[node], proto, to}
}

// behind lists the endpoints of a port of a Service that have the family of an address.
func (s *session) behind(svc *corev1.Service, port corev1.ServicePort, family netip.Addr) []listening {
	var found []listening
	for _, e := range s.view.EndpointSlices {
		if e.Namespace != svc.Namespace || e.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		for _, p := range e.Ports {
			if p.Port == nil || p.Name == nil || *p.Name != port.Name {
				continue
			}
			for _, endpoint := range e.Endpoints {
				for _, text := range endpoint.Addresses {
					a, err := netip.ParseAddr(text)
					if err != nil || a.Is4() != family.Is4() || endpoint.TargetRef == nil {
						continue
					}
					owner, err := s.place(endpoint.TargetRef.Namespace + "/" + endpoint.TargetRef.Name)
					if err == nil {
						proto, _ := flow.ParseProtocol(string(port.Protocol))
						found = append(found, listening{owner, proto, netip.AddrPortFrom(a, uint16(*p.Port))})
					}
				}
			}
		}
	}
	return found
}
