package sim

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// network knows who is where and which address leads to whom.
type network struct {
	byName   map[string]model.Endpoint // "namespace/pod" or "node/NAME"
	outside  map[string][]netip.Addr   // "external/NAME"
	owner    map[netip.Addr]target     // port unset
	services map[serviceAddr]*service
}

// target is where a connection ends.
type target struct {
	endpoint model.Endpoint
	name     string // as backend.Observation names it; empty outside the cluster
	port     uint16
	via      *service // that translated the destination, nil if none did
}

func newNetwork(c *model.Cluster, outside []backend.Host) *network {
	n := &network{
		byName: map[string]model.Endpoint{}, outside: map[string][]netip.Addr{}, owner: map[netip.Addr]target{},
		services: map[serviceAddr]*service{},
	}
	for _, h := range outside {
		n.outside[h.Name] = h.Addrs
		for _, addr := range h.Addrs {
			n.owner[addr] = target{endpoint: model.Endpoint{Addr: addr}, name: h.Name}
		}
	}
	for _, node := range c.Nodes {
		n.add("node/"+node.Name, model.Endpoint{Node: node}, nodeAddrs(node))
	}
	for _, pod := range c.Pods {
		n.addPod(pod)
	}
	for _, svc := range c.Services {
		n.addService(svc, c)
	}
	for _, pod := range c.Pods {
		n.addHostPorts(pod, c.Nodes)
	}
	return n
}

func (n *network) add(name string, e model.Endpoint, addrs []string) {
	n.byName[name] = e
	for _, addr := range parseAddrs(addrs) {
		n.owner[addr] = target{endpoint: e, name: name}
	}
}

// addPod adds a pod; one that has ended keeps its name only, and one on the host's network has no address of its own.
func (n *network) addPod(p *corev1.Pod) {
	n.add(p.Namespace+"/"+p.Name, model.Endpoint{Pod: p}, podAddrs(p))
}

func podAddrs(p *corev1.Pod) []string {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.Spec.HostNetwork {
		return nil
	}
	addrs := []string{p.Status.PodIP}
	for _, ip := range p.Status.PodIPs {
		addrs = append(addrs, ip.IP)
	}
	return addrs
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

// source finds the sender of a probe to an address.
func (n *network) source(name string, to netip.Addr) (model.Endpoint, error) {
	if e, ok := n.byName[name]; ok {
		return e, nil
	}
	for _, addr := range n.outside[name] {
		if flow.FamilyOf(addr) == flow.FamilyOf(to) {
			return model.Endpoint{Addr: addr}, nil
		}
	}
	if !strings.Contains(name, "/") {
		return model.Endpoint{}, fmt.Errorf("%q is neither namespace/pod nor node/NAME nor external/NAME", name)
	}
	return model.Endpoint{}, fmt.Errorf("%s does not exist", name)
}

// route returns where a connection from a client to addr ends, after translation; false if a Service has nobody to
// answer.
func (n *network) route(client model.Endpoint, p flow.Protocol, addr netip.AddrPort) (target, bool) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	svc := n.services[serviceAddr{addr, p}]
	if svc != nil {
		var ok bool
		if addr, ok = svc.pick(client); !ok {
			return target{}, false
		}
	}
	return n.at(addr, svc), true
}

// at returns who is at an address, to which svc has led.
func (n *network) at(addr netip.AddrPort, svc *service) target {
	to, ok := n.owner[addr.Addr()]
	if !ok {
		to.endpoint = model.Endpoint{Addr: addr.Addr()}
	}
	to.port, to.via = addr.Port(), svc
	return to
}
