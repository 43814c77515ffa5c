package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// place is where an end of a connection is in the network.
type place struct {
	addrs     []netip.Addr
	inCluster bool
	node      string
	ifindex   uint32 // of the pod's interface; 0 for a process of a node, and for what is outside
}

// links gives every pod an interface, the same as long as the pod lives.
type links struct {
	byPod map[string]uint32 // by namespace, name and UID
	last  uint32
}

func newLinks() *links { return &links{byPod: map[string]uint32{}} }

func (l *links) of(p *corev1.Pod) uint32 {
	key := fmt.Sprintf("%s/%s/%s", p.Namespace, p.Name, p.UID)
	if l.byPod[key] == 0 {
		l.last++
		l.byPod[key] = l.last
	}
	return l.byPod[key]
}

// network knows where each pod and node is.
type network struct {
	links *links
	pods  map[string]place // by "namespace/name"
	nodes map[string]place
	byIP  map[netip.Addr]place
	local map[string][]enforce.Pod // by node
}

func newNetwork(c *model.Cluster, l *links) *network {
	n := &network{
		links: l,
		pods:  map[string]place{}, nodes: map[string]place{}, byIP: map[netip.Addr]place{},
		local: map[string][]enforce.Pod{},
	}
	for _, node := range c.Nodes {
		p := place{addrs: nodeAddrs(node), inCluster: true, node: node.Name}
		n.nodes[node.Name] = p
		for _, a := range p.addrs {
			n.byIP[a] = p
		}
	}
	pods := slices.Clone(c.Pods)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, pod := range pods {
		n.addPod(pod)
	}
	return n
}

func (n *network) addPod(pod *corev1.Pod) {
	n.learnNode(pod)
	key := pod.Namespace + "/" + pod.Name
	p := place{inCluster: true, node: pod.Spec.NodeName}
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		p.addrs = podAddrs(pod)
	}
	if len(p.addrs) > 0 && !pod.Spec.HostNetwork {
		p.ifindex = n.links.of(pod)
		n.local[p.node] = append(n.local[p.node], enforce.Pod{
			Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Addrs: p.addrs, Ifindex: p.ifindex,
		})
		for _, a := range p.addrs {
			n.byIP[a] = p
		}
	}
	n.pods[key] = p
}

// learnNode takes the addresses of a node that was not given as an object from a pod that runs there.
func (n *network) learnNode(pod *corev1.Pod) {
	name := pod.Spec.NodeName
	if _, known := n.nodes[name]; known {
		return
	}
	p := place{addrs: hostAddrs(pod), inCluster: true, node: name}
	if len(p.addrs) == 0 {
		return
	}
	n.nodes[name] = p
	for _, a := range p.addrs {
		n.byIP[a] = p
	}
}

// inputs returns what the compiler of each node with pods gets.
func (n *network) inputs(endpoints []*v1alpha1.PolicyEndpoint) map[string]enforce.Input {
	inputs := map[string]enforce.Input{}
	for node, pods := range n.local {
		inputs[node] = enforce.Input{NodeAddrs: n.nodes[node].addrs, Pods: pods, Endpoints: endpoints}
	}
	return inputs
}

// place finds an end of a connection. An address of a pod or node is that pod or node.
func (n *network) place(e model.Endpoint) place {
	switch {
	case e.Pod != nil:
		return n.pods[e.Pod.Namespace+"/"+e.Pod.Name]
	case e.Node != nil:
		return n.nodes[e.Node.Name]
	}
	a := e.Addr.Unmap()
	if p, ok := n.byIP[a]; ok {
		p.addrs = []netip.Addr{a}
		return p
	}
	return place{addrs: []netip.Addr{a}}
}

// commonFamily returns the addresses of the first family, in the order of from's, that both have.
func commonFamily(from, to place, family flow.Family) (src, dst netip.Addr, ok bool) {
	for _, src := range from.addrs {
		for _, dst := range to.addrs {
			f := flow.FamilyOf(src)
			if f == flow.FamilyOf(dst) && (family == 0 || f == family) {
				return src, dst, true
			}
		}
	}
	return src, dst, false
}

func podAddrs(pod *corev1.Pod) []netip.Addr {
	ips := []string{pod.Status.PodIP}
	if len(pod.Status.PodIPs) > 0 {
		ips = nil
		for _, ip := range pod.Status.PodIPs {
			ips = append(ips, ip.IP)
		}
	}
	return parseAddrs(ips)
}

func hostAddrs(pod *corev1.Pod) []netip.Addr {
	ips := []string{pod.Status.HostIP}
	for _, ip := range pod.Status.HostIPs {
		ips = append(ips, ip.IP)
	}
	addrs := parseAddrs(ips)
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func nodeAddrs(node *corev1.Node) []netip.Addr {
	var ips []string
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			ips = append(ips, a.Address)
		}
	}
	return parseAddrs(ips)
}

// parseAddrs drops what is no address: such objects do not pass validation, and nothing can be sent there.
func parseAddrs(ips []string) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}
