package service

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model/flow"
)

// nodePorts are the frontends of a Service port at the node's own addresses, as f is at one ClusterIP. With
// externalTrafficPolicy Local they lead to endpoints on this node, with the client's address; otherwise to all
// endpoints, with the node's address, so that answers come back this way.
func (p Proxy) nodePorts(s *corev1.Service, f Frontend, port corev1.ServicePort) ([]Frontend, error) {
	if port.NodePort == 0 {
		return nil, nil
	}
	local := s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	endpoints, err := p.usable(s, f, port.Name, local)
	if err != nil || len(endpoints) == 0 {
		return nil, err
	}
	var out []Frontend
	for _, a := range p.Addrs {
		if flow.FamilyOf(a) == flow.FamilyOf(f.Addr.Addr()) {
			at := netip.AddrPortFrom(a, uint16(port.NodePort))
			out = append(out, Frontend{Protocol: f.Protocol, Addr: at, Endpoints: endpoints, Masquerade: !local})
		}
	}
	return out, nil
}

// HostPorts are the frontends at the node's own addresses that lead to ports of its pods, sorted: what a network plugin
// translates, and kube-proxy does not.
func (p Proxy) HostPorts() ([]Frontend, error) {
	var out []Frontend
	for _, pod := range p.Pods {
		if pod.Spec.NodeName != p.Node || pod.Spec.HostNetwork || ended(pod) {
			continue
		}
		for _, c := range pod.Spec.Containers {
			for _, port := range c.Ports {
				more, err := p.hostPort(pod, port)
				if err != nil {
					return nil, fmt.Errorf("pod %s/%s: host port %d: %w", pod.Namespace, pod.Name, port.HostPort, err)
				}
				out = append(out, more...)
			}
		}
	}
	slices.SortFunc(out, Frontend.Compare)
	return out, nil
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (p Proxy) hostPort(pod *corev1.Pod, port corev1.ContainerPort) ([]Frontend, error) {
	if port.HostPort == 0 {
		return nil, nil
	}
	proto, err := flow.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
	if err != nil {
		return nil, err
	}
	var out []Frontend
	for _, ip := range pod.Status.PodIPs {
		to, err := netip.ParseAddr(ip.IP)
		if err != nil {
			return nil, err
		}
		for _, a := range p.Addrs {
			if flow.FamilyOf(a) == flow.FamilyOf(to) {
				out = append(out, Frontend{
					Protocol: proto, Addr: netip.AddrPortFrom(a, uint16(port.HostPort)),
					Endpoints: []netip.AddrPort{netip.AddrPortFrom(to.Unmap(), uint16(port.ContainerPort))},
				})
			}
		}
	}
	return out, nil
}
