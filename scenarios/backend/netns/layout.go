package netns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
)

// layout is which namespaces a cluster consists of.
type layout struct {
	nodes   []nodeSpec
	pods    []podSpec
	sources map[string]string // name of a probe's source -> name of the namespace it runs in
}

// nodeSpec is a node; another value under the same name is another node.
type nodeSpec struct {
	name  string
	addrs []netip.Addr
}

func (n nodeSpec) title() string { return "node/" + n.name }

func (n nodeSpec) equal(m nodeSpec) bool { return n.name == m.name && slices.Equal(n.addrs, m.addrs) }

// podSpec is a pod with a network of its own; another value under the same name is another pod.
type podSpec struct {
	namespace, name, uid, node string
	addrs                      []netip.Addr
}

func (p podSpec) title() string { return p.namespace + "/" + p.name }

func (p podSpec) equal(q podSpec) bool {
	return p.title() == q.title() && p.uid == q.uid && p.node == q.node && slices.Equal(p.addrs, q.addrs)
}

func (l *layout) hasNode(n nodeSpec) bool { return slices.ContainsFunc(l.nodes, n.equal) }

func (l *layout) hasPod(p podSpec) bool { return slices.ContainsFunc(l.pods, p.equal) }

// newLayout reads a cluster. Pods that have ended or have no address yet have no network.
func newLayout(c *model.Cluster) (*layout, error) {
	l := &layout{sources: map[string]string{}}
	for _, n := range c.Nodes {
		if err := l.addNode(n); err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	for _, p := range c.Pods {
		if err := l.addPod(p); err != nil {
			return nil, fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	slices.SortFunc(l.nodes, func(a, b nodeSpec) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(l.pods, func(a, b podSpec) int { return cmp.Compare(a.title(), b.title()) })
	return l, l.checkAddrs()
}

func (l *layout) addNode(n *corev1.Node) error {
	var texts []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			texts = append(texts, a.Address)
		}
	}
	addrs, err := parseAddrs(texts)
	if err != nil {
		return err
	}
	spec := nodeSpec{name: n.Name, addrs: addrs}
	l.nodes = append(l.nodes, spec)
	return l.addSource(spec.title(), spec.title())
}

func (l *layout) addPod(p *corev1.Pod) error {
	addrs, err := podAddrs(p)
	if err != nil || len(addrs) == 0 {
		return err
	}
	if !slices.ContainsFunc(l.nodes, func(n nodeSpec) bool { return n.name == p.Spec.NodeName }) {
		return fmt.Errorf("its node %q is not in the cluster", p.Spec.NodeName)
	}
	spec := podSpec{p.Namespace, p.Name, string(p.UID), p.Spec.NodeName, addrs}
	if p.Spec.HostNetwork {
		return l.addSource(spec.title(), "node/"+p.Spec.NodeName)
	}
	l.pods = append(l.pods, spec)
	return l.addSource(spec.title(), spec.title())
}

// addSource enters a name. A namespace called "node" can make two of them equal.
func (l *layout) addSource(name, space string) error {
	if _, ok := l.sources[name]; ok {
		return fmt.Errorf("the name %s is already taken", name)
	}
	l.sources[name] = space
	return nil
}

// checkAddrs makes sure that packets to an address can go to one place only.
func (l *layout) checkAddrs() error {
	owner := map[netip.Addr]string{}
	claim := func(title string, addrs []netip.Addr) error {
		for _, a := range addrs {
			if other, ok := owner[a]; ok {
				return fmt.Errorf("%s and %s both have the address %s", other, title, a)
			}
			owner[a] = title
		}
		return nil
	}
	for _, n := range l.nodes {
		if err := claim(n.title(), n.addrs); err != nil {
			return err
		}
	}
	for _, p := range l.pods {
		if err := claim(p.title(), p.addrs); err != nil {
			return err
		}
	}
	return nil
}

// podAddrs are the addresses a pod can be reached at now: none before it has some, and none after it has ended.
func podAddrs(p *corev1.Pod) ([]netip.Addr, error) {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil, nil
	}
	var texts []string
	for _, ip := range p.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 && p.Status.PodIP != "" {
		texts = []string{p.Status.PodIP}
	}
	return parseAddrs(texts)
}

func parseAddrs(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, t := range texts {
		a, err := netip.ParseAddr(t)
		if err != nil {
			return nil, err
		}
		out = append(out, a.Unmap())
	}
	return out, nil
}
