package sim

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// network knows who is where and which address leads to whom.
type network struct {
	byName   map[string]model.Endpoint // "namespace/pod" or "node/NAME"
	owner    map[netip.Addr]target     // port unset
	services map[serviceAddr]*service
}

// target is where a connection ends.
type target struct {
	endpoint model.Endpoint
	name     string // as backend.Observation names it; empty outside the cluster
	port     uint16
	// translated is set where the destination was a ClusterIP.
	translated bool
}

func newNetwork(c *model.Cluster) *network {
	n := &network{
		byName: map[string]model.Endpoint{}, owner: map[netip.Addr]target{}, services: map[serviceAddr]*service{},
	}
	for _, node := range c.Nodes {
		n.add("node/"+node.Name, model.Endpoint{Node: node}, nodeAddrs(node))
	}
	for _, pod := range c.Pods {
		n.addPod(pod)
	}
	for _, svc := range c.Services {
		addService(n.services, svc, c.EndpointSlices)
	}
	return n
}

func (n *network) add(name string, e model.Endpoint, addrs []string) {
	n.byName[name] = e
	for _, text := range addrs {
		if addr, err := netip.ParseAddr(text); err == nil {
			n.owner[addr.Unmap()] = target{endpoint: e, name: name}
		}
	}
}

// addPod adds a pod; one that has ended keeps its name only, and one on the host's network has no address of its own.
func (n *network) addPod(p *corev1.Pod) {
	var addrs []string
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if !ended && !p.Spec.HostNetwork {
		addrs = append(addrs, p.Status.PodIP)
		for _, ip := range p.Status.PodIPs {
			addrs = append(addrs, ip.IP)
		}
	}
	n.add(p.Namespace+"/"+p.Name, model.Endpoint{Pod: p}, addrs)
}

func nodeAddrs(node *corev1.Node) []string {
	var addrs []string
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			addrs = append(addrs, a.Address)
		}
	}
	return addrs
}

// source finds the sender of a probe.
func (n *network) source(name string) (model.Endpoint, error) {
	if e, ok := n.byName[name]; ok {
		return e, nil
	}
	if !strings.Contains(name, "/") {
		return model.Endpoint{}, fmt.Errorf("%q is neither namespace/pod nor node/NAME", name)
	}
	return model.Endpoint{}, fmt.Errorf("%s does not exist", name)
}

// route returns where a connection from a client to addr ends, after translation; false if a Service has nobody to
// answer.
func (n *network) route(client model.Endpoint, p flow.Protocol, addr netip.AddrPort) (target, bool) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	svc, translated := n.services[serviceAddr{addr, p}]
	if translated {
		var ok bool
		if addr, ok = svc.pick(client); !ok {
			return target{}, false
		}
	}
	to, ok := n.owner[addr.Addr()]
	if !ok {
		to.endpoint = model.Endpoint{Addr: addr.Addr()}
	}
	to.port, to.translated = addr.Port(), translated
	return to, true
}
