package packets

import (
	"errors"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model"
)

// Capacities are tables with as many pages as they have, with none, and with one.
var Capacities = [...]bpf.Capacity{
	{},
	{Peers4: bpf.Fanout, PortPages: int(bpf.PortsFirst)},
	{Peers4: bpf.Fanout + 1, PortPages: int(bpf.PortsFirst) + 1},
}

// Image compiles a cluster for one node that holds all its pods, at the interfaces from 1 on. instance is the first pod's,
// those after it count up. Where tables of capacity have few pages, networks lie among the prefixes, and ports in lists.
func Image(c *model.Cluster, instance uint32, capacity bpf.Capacity) (*bpf.Image, error) {
	endpoints, problems := resolve.All(&resolve.Snapshot{
		Namespaces: c.Namespaces, Pods: c.Pods, Services: c.Services, EndpointSlices: c.EndpointSlices, Policies: c.Policies,
	}, resolve.Options{})
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	in := enforce.Input{Endpoints: endpoints, NodeAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for _, p := range c.Pods {
		if withoutInterface(p) {
			continue
		}
		pod := enforce.Pod{Namespace: p.Namespace, Name: p.Name, Ifindex: uint32(len(in.Pods) + 1)}
		for _, ip := range p.Status.PodIPs {
			pod.Addrs = append(pod.Addrs, netip.MustParseAddr(ip.IP))
		}
		in.Pods = append(in.Pods, pod)
	}
	built, err := enforce.Build(in, capacity)
	if err != nil {
		return nil, err
	}
	for i := range built.Image.Pods {
		built.Image.Pods[i].Instance = instance + uint32(i)
	}
	return built.Image, nil
}

// withoutInterface says that a pod has ended, or uses its node's network.
func withoutInterface(p *corev1.Pod) bool {
	return p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
