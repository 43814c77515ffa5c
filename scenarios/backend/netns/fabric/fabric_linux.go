package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// Fabric routes between nodes. Its methods, and those of its nodes and pods, are not safe for concurrent use.
type Fabric struct {
	space *space
}

// discard is what the fabric answers from that there is no route to an IPv6 address. It is from the block of RFC 6666, which
// no network uses; for IPv4 the kernel has such an address of its own.
var discard = netip.MustParseAddr("100::1")

// New makes a fabric without nodes.
func New() (*Fabric, error) {
	s, err := newSpace(slices.Concat(everywhere, routers))
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	if err := s.addAddress("lo", discard); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: %w", err), s.close())
	}
	return &Fabric{space: s}, nil
}

// Close lets go of the fabric, whose nodes must have been removed or released. The kernel removes what is left soon after.
func (f *Fabric) Close() error { return f.space.close() }

// Node is a node's namespace.
type Node struct {
	fabric *Fabric
	leaf   *leaf
}

// AddNode makes a node with addrs, reachable from all others. An address may be missing in a family: the node still
// routes for its pods.
func (f *Fabric) AddNode(name string, addrs []netip.Addr) (*Node, error) {
	l, err := hang(f.space, LinkName("node", name), addrs, gateways, slices.Concat(everywhere, routers))
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", name, err)
	}
	n := &Node{fabric: f, leaf: l}
	if err := n.join(); err != nil {
		return nil, errors.Join(fmt.Errorf("node %s: %w", name, err), l.remove())
	}
	return n, nil
}

// join sets the node's link up and leads its addresses to it.
func (n *Node) join() error {
	if err := n.leaf.raise(); err != nil {
		return err
	}
	for _, a := range downhill {
		if err := permanent(n.fabric.space, n.leaf.upper, a, n.leaf.lower.Attrs().HardwareAddr); err != nil {
			return err
		}
	}
	for _, a := range n.leaf.addrs {
		if err := addRoute(n.fabric.space, n.down(a)); err != nil {
			return err
		}
	}
	return nil
}

// down is the fabric's route to an address at or below the node.
func (n *Node) down(a netip.Addr) netlink.Route {
	gw := downhill[0]
	if a.Is6() {
		gw = downhill[1]
	}
	return netlink.Route{Dst: ipNet(a), Gw: gw.AsSlice(), LinkIndex: n.leaf.upper.Attrs().Index}
}

// NS is the node's namespace.
func (n *Node) NS() *ns.NS { return n.leaf.NS }

// Remove takes the node away. Its pods must have been removed.
func (n *Node) Remove() error { return n.leaf.remove() }

// Release lets go of the node without taking it from the fabric, for when that ends as well.
func (n *Node) Release() error { return n.leaf.close() }

// Pod is a pod's namespace and link.
type Pod struct {
	node *Node
	leaf *leaf
	led  []netip.Addr // addresses that the fabric has a route to
}

// AddPod makes a pod whose link, called link on the node, is still down.
func (n *Node) AddPod(link string, addrs []netip.Addr) (*Pod, error) {
	l, err := hang(n.leaf.space, link, addrs, gatewaysFor(addrs), everywhere)
	if err != nil {
		return nil, err
	}
	return &Pod{node: n, leaf: l}, nil
}

// gatewaysFor are the gateways of the families that addrs have: a pod without an IPv6 address has no way out by IPv6.
func gatewaysFor(addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(gateways), func(gw netip.Addr) bool {
		return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is4() == gw.Is4() })
	})
}

// NS is the pod's namespace.
func (p *Pod) NS() *ns.NS { return p.leaf.NS }

// Ifindex is the index of the node's side of the pod's link.
func (p *Pod) Ifindex() int { return p.leaf.upper.Attrs().Index }

// Up sets the link up and leads the pod's addresses to it, on the node and in the fabric.
func (p *Pod) Up() error {
	if err := p.leaf.raise(); err != nil {
		return err
	}
	for _, a := range p.leaf.addrs {
		here := netlink.Route{
			Dst: ipNet(a), LinkIndex: p.Ifindex(), Scope: netlink.SCOPE_LINK, Src: p.node.source(a),
		}
		if err := addRoute(p.node.leaf.space, here); err != nil {
			return err
		}
		if err := addRoute(p.node.fabric.space, p.node.down(a)); err != nil {
			return err
		}
		p.led = append(p.led, a)
	}
	return nil
}

// source is the address that processes of the node speak to a from, nil where the node has none of that family.
func (n *Node) source(a netip.Addr) []byte {
	for _, own := range n.leaf.addrs {
		if own.Is4() == a.Is4() {
			return own.AsSlice()
		}
	}
	return nil
}

// Release lets go of the pod without taking it from its node and the fabric, for when those end as well.
func (p *Pod) Release() error { return p.leaf.close() }

// RemovePods takes pods of the node away, the routes to them first. When it returns, no packet comes from or reaches
// them, and their link names and addresses are free. Several cost little more than one.
func (n *Node) RemovePods(pods []*Pod) error {
	var errs []error
	links := make([]netlink.Link, len(pods))
	for i, p := range pods {
		errs = append(errs, p.withdraw())
		links[i] = p.leaf.upper
	}
	errs = append(errs, n.leaf.deleteLinks(links))
	for _, p := range pods {
		errs = append(errs, p.leaf.close())
	}
	return errors.Join(errs...)
}

// withdraw deletes the fabric's routes to the pod. Those of its node go with its link.
func (p *Pod) withdraw() error {
	var errs []error
	for _, a := range p.led {
		route := p.node.down(a)
		if err := p.node.fabric.space.nl.RouteDel(&route); err != nil {
			errs = append(errs, fmt.Errorf("delete route to %s: %w", a, err))
		}
	}
	return errors.Join(errs...)
}
