package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
)

// receiveBuffer is room for the notifications of some thousand interfaces, in bytes.
const receiveBuffer = 1 << 20

// Watch tells what there is, as one HostListed, and then what changes, until ctx is done or notifications were lost. In
// that case it returns an error and may be called again.
func Watch(ctx context.Context, tell func(core.Input)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := watch{
		links: make(chan netlink.LinkUpdate, 64), routes: make(chan netlink.RouteUpdate, 64),
		filters: make(chan []core.FiltersTouched, 64), tell: tell, onward: map[int]bool{},
	}
	if err := w.subscribe(ctx, cancel); err != nil {
		return err
	}
	host, err := w.list()
	if err != nil {
		return err
	}
	tell(host)
	tell(core.FiltersTouched{}) // perhaps while nobody watched
	return w.run(ctx)
}

type watch struct {
	links   chan netlink.LinkUpdate
	routes  chan netlink.RouteUpdate
	filters chan []core.FiltersTouched
	tell    func(core.Input)
	onward  map[int]bool // interfaces through which a route leads, or once led, to more than single hosts
}

// subscribe begins to receive; lost is called when notifications may have been lost.
func (w *watch) subscribe(ctx context.Context, lost context.CancelCauseFunc) error {
	err := netlink.LinkSubscribeWithOptions(w.links, ctx.Done(), netlink.LinkSubscribeOptions{
		ErrorCallback: lost, ReceiveBufferSize: receiveBuffer,
	})
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	err = netlink.RouteSubscribeWithOptions(w.routes, ctx.Done(), netlink.RouteSubscribeOptions{
		ErrorCallback: lost, ReceiveBufferSize: receiveBuffer,
	})
	if err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	if err := subscribeFilters(ctx, w.filters, lost); err != nil {
		return fmt.Errorf("watch filters: %w", err)
	}
	return nil
}

var errClosed = errors.New("the kernel closed the subscription")

// closed says why a subscription ended: mostly because ctx did.
func closed(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errClosed
}

func (w *watch) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case u, ok := <-w.links:
			if !ok {
				return closed(ctx)
			}
			w.link(u)
		case u, ok := <-w.routes:
			if !ok {
				return closed(ctx)
			}
			w.route(u)
		case list := <-w.filters:
			for _, touched := range list {
				w.tell(touched)
			}
		}
	}
}

// link tells of an interface. What the kernel says of it as the port of a bridge (AF_BRIDGE) is left out: that a port is gone, although
// the interface is not, and nothing of what the interface is.
func (w *watch) link(u netlink.LinkUpdate) {
	if u.Family != unix.AF_UNSPEC {
		return
	}
	if u.Header.Type == unix.RTM_DELLINK {
		delete(w.onward, u.Attrs().Index)
		w.tell(core.LinkGone{Ifindex: uint32(u.Attrs().Index)})
		return
	}
	w.tell(core.LinkSeen{Link: w.linkOf(u.Link)})
}

func (w *watch) route(u netlink.RouteUpdate) {
	w.noteOnward(u.Route)
	r, ok := routeOf(u.Route)
	switch {
	case !ok:
	case u.Type == unix.RTM_DELROUTE:
		w.tell(core.RouteGone{Route: r})
	default:
		w.tell(core.RouteSeen{Route: r, Replaces: u.NlFlags&unix.NLM_F_REPLACE != 0})
	}
}

// list reads all interfaces and the routes to single addresses.
func (w *watch) list() (core.HostListed, error) {
	var host core.HostListed
	links, err := netlink.LinkList()
	if err != nil {
		return host, fmt.Errorf("list interfaces: %w", err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return host, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		w.noteOnward(r)
		if route, ok := routeOf(r); ok {
			host.Routes = append(host.Routes, route)
		}
	}
	for _, l := range links {
		host.Links = append(host.Links, w.linkOf(l))
	}
	return host, nil
}

func (w *watch) linkOf(l netlink.Link) core.Link {
	link := linkOf(l)
	link.Leaf = link.Leaf && !w.onward[l.Attrs().Index]
	return link
}

func linkOf(l netlink.Link) core.Link {
	veth := l.Type() == "veth"
	return core.Link{
		Ifindex: uint32(l.Attrs().Index), Name: l.Attrs().Name, Veth: veth, Leaf: veth && l.Attrs().NetNsID >= 0,
	}
}

// noteOnward notes that others than single hosts on the link are behind an interface: it is the way out of a node that
// is a container itself, or a router's, and not a pod's.
func (w *watch) noteOnward(r netlink.Route) {
	if r.Protocol == unix.RTPROT_KERNEL || r.Table != unix.RT_TABLE_MAIN {
		return
	}
	for _, hop := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex}) {
		if _, single := routeOf(r); hop.LinkIndex != 0 && !single {
			w.onward[hop.LinkIndex] = true
		}
	}
}

// routeOf reads a route of the main table to a single address that lies on the interface itself. What the kernel adds by
// itself leads to an address of the host, such as the gateway that a network plugin gives the host's side of a veth pair.
func routeOf(r netlink.Route) (core.Route, bool) {
	if r.Protocol == unix.RTPROT_KERNEL || r.Dst == nil || r.LinkIndex == 0 || r.Gw != nil || r.Table != unix.RT_TABLE_MAIN {
		return core.Route{}, false
	}
	addr, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, bits := r.Dst.Mask.Size()
	if !ok || bits == 0 || ones != bits {
		return core.Route{}, false
	}
	return core.Route{Addr: addr.Unmap(), Ifindex: uint32(r.LinkIndex), Metric: uint32(r.Priority)}, true
}

// Exists says whether there is an interface of that index.
func Exists(ifindex uint32) (bool, error) {
	_, err := netlink.LinkByIndex(int(ifindex))
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("interface %d: %w", ifindex, err)
	}
	return true, nil
}

// ByName finds an interface.
func ByName(name string) (core.Link, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return core.Link{}, fmt.Errorf("interface %s: %w", name, err)
	}
	return linkOf(l), nil
}

// ByRoute finds the interface that leads to an address.
func ByRoute(addr netip.Addr) (core.Link, error) {
	routes, err := netlink.RouteGet(net.IP(addr.AsSlice()))
	if err != nil || len(routes) == 0 {
		return core.Link{}, errors.Join(fmt.Errorf("no route to %s", addr), err)
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return core.Link{}, fmt.Errorf("interface to %s: %w", addr, err)
	}
	return linkOf(l), nil
}
