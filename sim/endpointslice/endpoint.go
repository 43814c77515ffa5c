package endpointslice

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// families returns the address types of a Service: what the API server wrote into spec.ipFamilies, else those of its
// ClusterIPs, else both.
func families(s *corev1.Service) []discoveryv1.AddressType {
	var found []discoveryv1.AddressType
	for _, f := range s.Spec.IPFamilies {
		found = append(found, discoveryv1.AddressType(f))
	}
	if len(found) == 0 {
		for _, ip := range append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP) {
			if family, ok := familyOf(ip); ok {
				found = append(found, family)
			}
		}
	}
	if len(found) == 0 {
		found = []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// familyOf returns the address type of an IP address; ok is false for anything else, "None" included.
func familyOf(ip string) (family discoveryv1.AddressType, ok bool) {
	a, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		return "", false
	case a.Unmap().Is4():
		return discoveryv1.AddressTypeIPv4, true
	}
	return discoveryv1.AddressTypeIPv6, true
}

// addresses returns the addresses of p that have the family, in the order of its status.
func addresses(p *corev1.Pod, family discoveryv1.AddressType) []string {
	written := p.Status.PodIPs
	if len(written) == 0 {
		written = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	var found []string
	for _, ip := range written {
		if f, ok := familyOf(ip.IP); ok && f == family {
			found = append(found, ip.IP)
		}
	}
	return found
}

// endpoint describes p as a backend of s. A pod that terminates may still serve, but is not ready.
func endpoint(s *corev1.Service, p *corev1.Pod, addrs []string) discoveryv1.Endpoint {
	serving := isReady(p)
	terminating := p.DeletionTimestamp != nil
	e := discoveryv1.Endpoint{
		Addresses: addrs,
		Conditions: discoveryv1.EndpointConditions{
			Ready:       new(s.Spec.PublishNotReadyAddresses || serving && !terminating),
			Serving:     &serving,
			Terminating: &terminating,
		},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
	if p.Spec.NodeName != "" {
		e.NodeName = &p.Spec.NodeName
	}
	if p.Spec.Hostname != "" && p.Spec.Subdomain == s.Name {
		e.Hostname = &p.Spec.Hostname
	}
	return e
}

// isReady reads the Ready condition. A pod without any conditions was written by hand: it is ready if it runs, or if
// nothing is said of its phase.
func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	running := p.Status.Phase == corev1.PodRunning || p.Status.Phase == ""
	return len(p.Status.Conditions) == 0 && running
}

// endpointPorts returns the ports of s with their numbers on p, in the order of s. A port whose name p does not declare
// leads to no port of p.
func endpointPorts(s *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
		if number, ok := targetPort(port, protocol, p); ok {
			ports = append(ports, discoveryv1.EndpointPort{
				Name: &port.Name, Protocol: &protocol, Port: &number, AppProtocol: port.AppProtocol,
			})
		}
	}
	return ports
}

// targetPort returns the number of the Service's port on p. Of several containers that use the name, the first wins;
// sidecars come after the others.
func targetPort(port *corev1.ServicePort, protocol corev1.Protocol, p *corev1.Pod) (number int32, ok bool) {
	if port.TargetPort.Type == intstr.Int {
		return cmp.Or(port.TargetPort.IntVal, port.Port), true
	}
	for _, c := range runningContainers(p) {
		for _, cp := range c.Ports {
			if cp.Name == port.TargetPort.StrVal && cmp.Or(cp.Protocol, corev1.ProtocolTCP) == protocol {
				return cp.ContainerPort, true
			}
		}
	}
	return 0, false
}

// runningContainers returns the containers that live as long as the pod: the ordinary ones, then the sidecars.
func runningContainers(p *corev1.Pod) []corev1.Container {
	all := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}
