package fabric

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// space is a namespace and a netlink socket inside it.
type space struct {
	*ns.NS
	nl *netlink.Handle
}

// newSpace makes a namespace with loopback up.
func newSpace(settings []setting) (*space, error) {
	n, err := ns.New()
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandleAt(netns.NsHandle(n.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink: %w", err), n.Close())
	}
	s := &space{NS: n, nl: nl}
	if err := errors.Join(configure(n, settings), s.up("lo")); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *space) up(name string) error {
	link, err := s.find(name)
	if err != nil {
		return err
	}
	if err := s.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

func (s *space) close() error {
	s.nl.Close()
	return s.Close()
}

// leaf is a namespace that hangs below another one.
type leaf struct {
	*space
	parent *space
	addrs  []netip.Addr
	upper  netlink.Link // the parent's side, down until leaf.up
	lower  netlink.Link // eth0
}

// The gateway of a leaf as the leaf sees it, and the leaf as the fabric sees it. Nobody owns these addresses.
var (
	gateways = []netip.Addr{netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("fe80::1")}
	downhill = []netip.Addr{netip.MustParseAddr("169.254.1.2"), netip.MustParseAddr("fe80::2")}
)

// LinkName is what the VPC CNI calls the node's side of a pod's link: it depends on the pod's namespace and name only.
func LinkName(namespace, name string) string {
	sum := sha1.Sum([]byte(namespace + "." + name))
	return "eni" + hex.EncodeToString(sum[:])[:11]
}

// hang makes a namespace below parent with everything ready on its own side. name is that of the parent's side.
// The way out is given for the families of gateways.
func hang(parent *space, name string, addrs, gateways []netip.Addr, settings []setting) (*leaf, error) {
	s, err := newSpace(settings)
	if err != nil {
		return nil, err
	}
	l := &leaf{space: s, parent: parent, addrs: addrs}
	if err := l.connect(name); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := l.configure(); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	if err := l.leaveBy(gateways); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// connect makes the veth pair.
func (l *leaf) connect(name string) error {
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: name})
	veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(l.FD())
	if err := l.parent.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("create link %s: %w", name, err)
	}
	var err error
	l.upper, err = l.parent.find(name)
	return err
}

// configure gives eth0 its addresses. The link has no carrier yet.
func (l *leaf) configure() error {
	if err := l.up("eth0"); err != nil {
		return err
	}
	var err error
	if l.lower, err = l.find("eth0"); err != nil {
		return err
	}
	for _, a := range l.addrs {
		if err := l.addAddress("eth0", a); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) addAddress(link string, a netip.Addr) error {
	l, err := s.find(link)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(a)}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := s.nl.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("add address %s: %w", a, err)
	}
	return nil
}

func (s *space) find(name string) (netlink.Link, error) {
	link, err := s.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return link, nil
}

// leaveBy makes each gateway the way out in its family.
func (l *leaf) leaveBy(gateways []netip.Addr) error {
	for _, gw := range gateways {
		if err := l.addDefaultRoute(gw); err != nil {
			return err
		}
	}
	return nil
}

func (l *leaf) addDefaultRoute(gw netip.Addr) error {
	if err := permanent(l.space, l.lower, gw, l.upper.Attrs().HardwareAddr); err != nil {
		return err
	}
	any := &net.IPNet{IP: make(net.IP, gw.BitLen()/8), Mask: net.CIDRMask(0, gw.BitLen())}
	return addRoute(l.space, netlink.Route{Dst: any, Gw: gw.AsSlice(), LinkIndex: l.lower.Attrs().Index})
}

// raise sets the parent's side up: when it returns, packets can leave and reach the leaf.
func (l *leaf) raise() error {
	if err := l.parent.nl.LinkSetUp(l.upper); err != nil {
		return fmt.Errorf("set link %s up: %w", l.upper.Attrs().Name, err)
	}
	return l.settle()
}

// remove takes the leaf away. The kernel drops the routes through its link at once, the namespace soon after.
func (l *leaf) remove() error {
	err := l.parent.nl.LinkDel(l.upper)
	if err != nil {
		err = fmt.Errorf("delete link %s: %w", l.upper.Attrs().Name, err)
	}
	return errors.Join(err, l.close())
}

// permanent adds a neighbour entry that is never resolved.
func permanent(s *space, link netlink.Link, a netip.Addr, mac net.HardwareAddr) error {
	err := s.nl.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
	})
	if err != nil {
		return fmt.Errorf("add neighbour %s: %w", a, err)
	}
	return nil
}

// addRoute adds a route; its gateway, if any, needs no route of its own.
func addRoute(s *space, r netlink.Route) error {
	if r.Gw != nil {
		r.Flags = int(netlink.FLAG_ONLINK)
	}
	if err := s.nl.RouteReplace(&r); err != nil {
		return fmt.Errorf("add route to %s: %w", r.Dst, err)
	}
	return nil
}

// ipNet is the prefix that holds a and nothing else, as netlink wants it.
func ipNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
