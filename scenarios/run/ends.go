package run

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// end is somebody who opens or takes connections.
type end struct {
	name     string         // as probes and reports name it
	endpoint model.Endpoint // unset for a Service and for what is outside, which are known by their addresses
	addrs    []netip.Addr
	listener []string // who may answer there, as backend.Observation names them; empty for anybody
	door     *door    // where connections are led on from its address, nil if they are not
}

func podEnd(p *corev1.Pod) end {
	e := end{name: matrix.Key(p), endpoint: model.Endpoint{Pod: p}, listener: []string{matrix.Key(p)}}
	if p.Spec.HostNetwork { // it shares its address with the node
		e.listener = append(e.listener, "node/"+p.Spec.NodeName)
	}
	if matrix.HasNetwork(p) {
		texts := []string{p.Status.PodIP}
		for _, ip := range p.Status.PodIPs {
			texts = append(texts, ip.IP)
		}
		e.addrs = parseAddrs(texts)
	}
	return e
}

func nodeEnd(n *corev1.Node, pods []*corev1.Pod) end {
	e := end{name: "node/" + n.Name, endpoint: model.Endpoint{Node: n}, listener: []string{"node/" + n.Name}}
	var texts []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			texts = append(texts, a.Address)
		}
	}
	for _, p := range pods {
		if p.Spec.HostNetwork && p.Spec.NodeName == n.Name {
			e.listener = append(e.listener, matrix.Key(p))
		}
	}
	e.addrs = parseAddrs(texts)
	return e
}

func serviceEnd(s *corev1.Service, slices []*discoveryv1.EndpointSlice) end {
	e := end{name: "service/" + s.Namespace + "/" + s.Name}
	e.addrs = parseAddrs(append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs...))
	for _, slice := range slices {
		if slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if ref := endpoint.TargetRef; ref != nil && ref.Kind == "Pod" {
				e.listener = append(e.listener, ref.Namespace+"/"+ref.Name)
			}
		}
	}
	return e
}

// parseAddrs leaves out what is no address, such as the "None" of a headless Service.
func parseAddrs(texts []string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// in returns e's first address of a family.
func (e end) in(family flow.Family) (netip.Addr, bool) {
	for _, addr := range e.addrs {
		if flow.FamilyOf(addr) == family {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// as returns e as an end of a query about addr.
func (e end) as(addr netip.Addr) model.Endpoint {
	if e.endpoint == (model.Endpoint{}) {
		return model.Endpoint{Addr: addr}
	}
	return e.endpoint
}

// directory finds the ends of a cluster by name.
type directory map[string]end

func newDirectory(c *model.Cluster, outside []spec.Host) directory {
	d := directory{}
	for _, h := range outside {
		d.add(end{name: h.Name, addrs: h.Addrs, listener: []string{h.Name}})
	}
	for _, n := range c.Nodes {
		d.add(nodeEnd(n, c.Pods))
	}
	for _, p := range c.Pods {
		d.add(podEnd(p))
	}
	for _, s := range c.Services {
		d.add(serviceEnd(s, c.EndpointSlices))
	}
	return d
}

func (d directory) add(e end) { d[e.name] = e }

func (d directory) find(name string) (end, error) {
	e, ok := d[name]
	if !ok {
		return end{}, fmt.Errorf("there is no %s in the cluster", name)
	}
	return e, nil
}
