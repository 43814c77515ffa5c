package model

import (
	"cmp"
	"net/netip"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	netutils "k8s.io/utils/net"

	"github.com/palisade-netpol/palisade/model/flow"
)

// pod is what policies see of a pod.
type pod struct {
	object          *corev1.Pod
	index           int // in Model.order
	key             types.NamespacedName
	name            string // "namespace/name"
	labels          labels.Set
	namespaceLabels labels.Set
	addrs           []netip.Addr
	host            *host // nil: not scheduled
	hostNetwork     bool
	ended           bool
	ports           []namedPort

	// The policies that select it, indexed by flow.Direction, and their names.
	isolating     [2][]*policy
	isolatingRefs [2][]PolicyRef
	reach         [2]atomic.Pointer[reach] // by flow.Direction: the last asked for
}

// namedPort is a container port that a policy can mean by its name.
type namedPort struct {
	name string
	flow.PortProto
	// certain is whether every implementation knows the name: ports of containers that run as long as the pod does.
	certain bool
}

func newPod(p *corev1.Pod, namespaceLabels labels.Set, h *host) *pod {
	info := &pod{
		object:          p,
		key:             types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		name:            p.Namespace + "/" + p.Name,
		labels:          p.Labels,
		namespaceLabels: namespaceLabels,
		addrs:           podAddrs(p),
		host:            h,
		hostNetwork:     p.Spec.HostNetwork,
		ended:           p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		ports:           namedPorts(p),
	}
	if info.hostNetwork && len(info.addrs) == 0 && h != nil {
		info.addrs = h.addrs
	}
	return info
}

// addr returns the address that p uses in a family, invalid if it has none there.
func (p *pod) addr(f flow.Family) netip.Addr {
	for _, a := range p.addrs {
		if flow.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// newerThan decides between two pods that report the same address: the last owner wins.
func (p *pod) newerThan(other *pod) bool {
	a, b := p.object.CreationTimestamp, other.object.CreationTimestamp
	return cmp.Or(a.Compare(b.Time), cmp.Compare(p.name, other.name)) > 0
}

// podAddrs returns the addresses of a pod, the primary one first.
func podAddrs(p *corev1.Pod) []netip.Addr {
	texts := make([]string, 0, 1+len(p.Status.PodIPs))
	for _, ip := range p.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	return parseAddrs(append(texts, p.Status.PodIP))
}

// parseAddrs reads addresses as the API has always read them, leading zeros and IPv4-mapped ones included, and leaves
// out what is empty, unreadable or repeated.
func parseAddrs(texts []string) []netip.Addr {
	var addrs []netip.Addr
	seen := make(map[netip.Addr]bool, len(texts))
	for _, text := range texts {
		addr, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(text))
		if addr = addr.Unmap(); ok && !seen[addr] {
			seen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func namedPorts(p *corev1.Pod) []namedPort {
	var named []namedPort
	for _, c := range p.Spec.Containers {
		named = append(named, containerPorts(c, true)...)
	}
	for _, c := range p.Spec.InitContainers {
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		named = append(named, containerPorts(c, sidecar)...)
	}
	return named
}

func containerPorts(c corev1.Container, certain bool) []namedPort {
	var named []namedPort
	for _, port := range c.Ports {
		proto, err := flow.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
		if err != nil || port.Name == "" || port.ContainerPort < 1 || port.ContainerPort > 65535 {
			continue
		}
		number := flow.PortProto{Protocol: proto, Port: uint16(port.ContainerPort)}
		named = append(named, namedPort{port.Name, number, certain})
	}
	return named
}
