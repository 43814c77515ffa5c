package model

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// host is a node, as far as policies notice it: who is local to whom, and from which addresses it speaks.
type host struct {
	name  string // empty where only an address tells the node from others
	addrs []netip.Addr
}

// hosts finds nodes by name and by address.
type hosts struct {
	byName map[string]*host
	byAddr map[netip.Addr]*host
}

// readHosts learns nodes from the Node objects and, where they say less, from what pods tell about their node: first
// the pods that name it.
func readHosts(c *Cluster) hosts {
	h := hosts{byName: map[string]*host{}, byAddr: map[netip.Addr]*host{}}
	for _, n := range c.Nodes {
		h.add(n.Name, nodeAddrs(n))
	}
	for _, named := range []bool{true, false} {
		for _, p := range c.Pods {
			if named == (p.Spec.NodeName != "") {
				h.add(p.Spec.NodeName, hostAddrs(p))
			}
		}
	}
	return h
}

// add records addresses of a node. An address belongs to the first node that claims it.
func (h hosts) add(name string, addrs []netip.Addr) {
	if name == "" && len(addrs) == 0 {
		return
	}
	node := h.find(name, addrs)
	if node == nil {
		node = &host{name: name}
	}
	if name != "" {
		h.byName[name] = node
	}
	for _, a := range addrs {
		if h.byAddr[a] == nil {
			h.byAddr[a] = node
			node.addrs = append(node.addrs, a)
		}
	}
}

// find looks a node up by its name, or by its addresses where it has none.
func (h hosts) find(name string, addrs []netip.Addr) *host {
	if name != "" {
		return h.byName[name]
	}
	if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return h.byAddr[a] != nil }); i >= 0 {
		return h.byAddr[addrs[i]]
	}
	return nil
}

// of returns the node p runs on, nil if it is not scheduled.
func (h hosts) of(p *corev1.Pod) *host { return h.find(p.Spec.NodeName, hostAddrs(p)) }

// nodeAddrs returns the addresses that packets of a node carry, the internal ones first.
func nodeAddrs(n *corev1.Node) []netip.Addr {
	var texts []string
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type == kind {
				texts = append(texts, a.Address)
			}
		}
	}
	return parseAddrs(texts)
}

// hostAddrs returns the addresses of p's node that p's status tells.
func hostAddrs(p *corev1.Pod) []netip.Addr {
	var texts []string
	for _, ip := range p.Status.HostIPs {
		texts = append(texts, ip.IP)
	}
	addrs := parseAddrs(append(texts, p.Status.HostIP))
	if p.Spec.HostNetwork {
		addrs = append(addrs, podAddrs(p)...)
	}
	return addrs
}
