package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf/hook/dump"
)

// Watch tells what there is, as one HostListed, and then what changes, until ctx is done or notifications were lost. In
// that case it returns an error and may be called again.
func Watch(ctx context.Context, tell func(core.Input)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := watch{
		network: make(chan []syscall.NetlinkMessage, 64), filters: make(chan []core.FiltersTouched, 64),
		tell: tell, onward: map[int]bool{},
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
	network chan []syscall.NetlinkMessage // of interfaces and routes
	filters chan []core.FiltersTouched
	tell    func(core.Input)
	onward  map[int]bool // interfaces through which a route leads, or once led, to more than single hosts
}

// subscribe begins to receive; lost is called when notifications may have been lost. Those of interfaces and of routes
// come by one socket, because what becomes of the routes of an interface that goes, or comes again, follows from their
// order.
func (w *watch) subscribe(ctx context.Context, lost context.CancelCauseFunc) error {
	whole := func(messages []syscall.NetlinkMessage) []syscall.NetlinkMessage { return messages }
	err := subscribe(ctx, lost, w.network, whole, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("watch interfaces and routes: %w", err)
	}
	if err := subscribe(ctx, lost, w.filters, touched, unix.RTNLGRP_TC); err != nil {
		return fmt.Errorf("watch filters: %w", err)
	}
	return nil
}

func (w *watch) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case messages := <-w.network:
			for _, m := range messages {
				if err := w.read(m); err != nil {
					return err
				}
			}
		case list := <-w.filters:
			for _, touched := range list {
				w.tell(touched)
			}
		}
	}
}

func (w *watch) read(m syscall.NetlinkMessage) error {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return w.link(m)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return w.route(m)
	}
	return nil
}

// link tells of an interface. What the kernel says of it as the port of a bridge (AF_BRIDGE) is left out: that a port
// is gone, although the interface is not, and nothing of what the interface is.
func (w *watch) link(m syscall.NetlinkMessage) error {
	if len(m.Data) < unix.SizeofIfInfomsg {
		return errShort
	}
	if nl.DeserializeIfInfomsg(m.Data).Family != unix.AF_UNSPEC {
		return nil
	}
	l, err := netlink.LinkDeserialize(nil, m.Data)
	if err != nil {
		return fmt.Errorf("read an interface: %w", err)
	}
	ifindex := l.Attrs().Index
	if m.Header.Type == unix.RTM_DELLINK {
		delete(w.onward, ifindex)
		w.tell(core.LinkGone{Ifindex: uint32(ifindex), Name: l.Attrs().Name})
		return nil
	}
	w.tell(core.LinkSeen{Link: w.linkOf(l)})
	if l.Attrs().Flags&net.FlagUp == 0 {
		w.tell(core.RoutesGone{Ifindex: uint32(ifindex)})
	}
	return nil
}

func (w *watch) route(m syscall.NetlinkMessage) error {
	read, err := readRoute(m.Data)
	if err != nil {
		return err
	}
	w.noteOnward(read)
	r, ok := routeOf(read)
	switch {
	case !ok:
	case m.Header.Type == unix.RTM_DELROUTE:
		w.tell(core.RouteGone{Route: r})
	default:
		w.tell(core.RouteSeen{Route: r, Replaces: m.Header.Flags&unix.NLM_F_REPLACE != 0})
	}
	return nil
}

func (w *watch) noteOnward(r netlink.Route) {
	for _, ifindex := range onward(r) {
		w.onward[ifindex] = true
	}
}

// list reads all interfaces and the routes to single addresses.
func (w *watch) list() (core.HostListed, error) {
	host := core.HostListed{Begun: time.Now()}
	links, err := dump.Whole(netlink.LinkList)
	if err != nil {
		return host, fmt.Errorf("list interfaces: %w", err)
	}
	routes, err := allRoutes(nil)
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
