package packets

import (
	"errors"
	"math/rand/v2"
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

// Vary makes some pods of an image routers, unknown, or closed where they were open, and may put two at interfaces that share a place.
func Vary(img *bpf.Image, rng *rand.Rand) {
	for i := range img.Pods {
		p := &img.Pods[i]
		p.MayRoute = rng.IntN(8) == 0
		for dir := range p.Sets {
			switch {
			case rng.IntN(32) == 0:
				p.Sets[dir] = bpf.SetUnknown
			case p.Sets[dir] == bpf.SetOpen && rng.IntN(3) == 0:
				p.Sets[dir] = bpf.SetClosed
			}
		}
	}
	if n := len(img.Pods); n > 1 && rng.IntN(4) == 0 {
		img.Pods[n-1].Ifindex = img.Pods[0].Ifindex + bpf.PodsSize
	}
}

// withoutInterface says that a pod has ended, or uses its node's network.
func withoutInterface(p *corev1.Pod) bool {
	return p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
