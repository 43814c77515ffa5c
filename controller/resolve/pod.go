package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// pod is what policies see of a pod: at least one address of its own, labels and named ports.
type pod struct {
	namespace, name string
	uid             types.UID
	created         time.Time
	labels          labels.Set
	addrs           []netip.Addr // sorted
	hosts           []string     // of addrs, the address of the node: same family where it has one
	ports           map[portName][]uint16
	selections      []*selection // that it is in, in no order
}

// sameAs reports whether p and o, either of which may be nil, are one pod and mean the same to every policy that
// selects both.
func (p *pod) sameAs(o *pod) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.uid == o.uid && p.created.Equal(o.created) &&
		slices.Equal(p.addrs, o.addrs) && slices.Equal(p.hosts, o.hosts) &&
		maps.EqualFunc(p.ports, o.ports, slices.Equal[[]uint16])
}

// newPod returns nil for a pod that policies do not see: one that has ended, so that its address may be somebody
// else's by now, one without an address, and one on the host network, whose address is its node's. A pod that is
// terminating still runs. The error names addresses that are ignored.
func newPod(p *corev1.Pod) (*pod, error) {
	if hasEnded(p) || p.Spec.HostNetwork {
		return nil, nil
	}
	addrs, err := podAddrs(&p.Status)
	if len(addrs) == 0 {
		return nil, err
	}
	known := &pod{
		namespace: p.Namespace, name: p.Name, uid: p.UID, created: p.CreationTimestamp.Time,
		labels: p.Labels, addrs: addrs, ports: declaredPorts(p),
	}
	for _, a := range addrs {
		known.hosts = append(known.hosts, hostIP(&p.Status, a))
	}
	return known, err
}

func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// podAddrs returns the addresses of s, sorted, but none that is the node's.
func podAddrs(s *corev1.PodStatus) ([]netip.Addr, error) {
	written := []string{s.PodIP}
	for _, ip := range s.PodIPs {
		written = append(written, ip.IP)
	}
	addrs, err := parseAddrs(slices.DeleteFunc(written, func(w string) bool { return w == "" }))
	if err != nil {
		err = fmt.Errorf("status.podIPs: %w", err)
	}
	hosts := hostAddrs(s)
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return slices.Contains(hosts, a) })
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), err
}

// hostAddrs returns the addresses of the node in the order of status.hostIPs, else status.hostIP alone.
func hostAddrs(s *corev1.PodStatus) []netip.Addr {
	written := []corev1.HostIP{{IP: s.HostIP}}
	if len(s.HostIPs) > 0 {
		written = s.HostIPs
	}
	var addrs []netip.Addr
	for _, w := range written {
		if a, err := parseAddr(w.IP); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// hostIP returns the node's address of the family of a, else its first address; empty where the node is not known.
func hostIP(s *corev1.PodStatus, a netip.Addr) string {
	hosts := hostAddrs(s)
	for _, h := range hosts {
		if h.Is4() == a.Is4() {
			return h.String()
		}
	}
	if len(hosts) > 0 {
		return hosts[0].String()
	}
	return ""
}

// declaredPorts collects the named ports of the containers that run beside each other: ordinary ones and sidecars. A
// name is unique in its container only, so it may have several numbers, which are sorted.
func declaredPorts(p *corev1.Pod) map[portName][]uint16 {
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	ports := map[portName][]uint16{}
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.Name == "" || !validPort(port.ContainerPort) {
				continue
			}
			name := portName{name: port.Name, protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP)}
			ports[name] = append(ports[name], uint16(port.ContainerPort))
		}
	}
	for name, numbers := range ports {
		slices.Sort(numbers)
		ports[name] = slices.Compact(numbers)
	}
	return ports
}

// places returns the addresses of p and of its nodes; p may be nil.
func (p *pod) places() []netip.Addr {
	if p == nil {
		return nil
	}
	all := slices.Clone(p.addrs)
	for _, h := range p.hosts {
		if a, err := parseAddr(h); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// podEndpoints lists every address of pods, sorted by namespace, name and address.
func podEndpoints(pods []*pod) []v1alpha1.PodEndpoint {
	var list []v1alpha1.PodEndpoint
	for _, p := range pods {
		for i, a := range p.addrs {
			list = append(list, v1alpha1.PodEndpoint{
				HostIP:    v1alpha1.NetworkAddress(p.hosts[i]),
				PodIP:     v1alpha1.NetworkAddress(a.String()),
				Name:      p.name,
				Namespace: p.namespace,
			})
		}
	}
	return list
}
