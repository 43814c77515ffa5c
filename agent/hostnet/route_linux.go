package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf/hook/dump"
)

var errShort = errors.New("a message of the kernel is too short")

// readRoute reads where a route leads.
func readRoute(message []byte) (netlink.Route, error) {
	if len(message) < unix.SizeofRtMsg {
		return netlink.Route{}, errShort
	}
	m := nl.DeserializeRtMsg(message)
	attrs, err := nl.ParseRouteAttr(message[unix.SizeofRtMsg:])
	if err != nil {
		return netlink.Route{}, fmt.Errorf("attributes of a route: %w", err)
	}
	r := netlink.Route{Protocol: netlink.RouteProtocol(m.Protocol), Table: int(m.Table)}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			r.Dst = &net.IPNet{IP: a.Value, Mask: net.CIDRMask(int(m.Dst_len), 8*len(a.Value))}
		case unix.RTA_GATEWAY:
			r.Gw = a.Value
		case unix.RTA_MULTIPATH:
			r.MultiPath = readHops(a.Value)
		}
		if len(a.Value) != 4 {
			continue
		}
		switch number := int(nl.NativeEndian().Uint32(a.Value)); a.Attr.Type {
		case unix.RTA_OIF:
			r.LinkIndex = number
		case unix.RTA_PRIORITY:
			r.Priority = number
		case unix.RTA_TABLE:
			r.Table = number
		}
	}
	return r, nil
}

// readHops reads the interfaces of a route that has several ways.
func readHops(list []byte) (hops []*netlink.NexthopInfo) {
	for len(list) >= unix.SizeofRtNexthop {
		hop := nl.DeserializeRtNexthop(list).RtNexthop
		hops = append(hops, &netlink.NexthopInfo{LinkIndex: int(hop.Ifindex)})
		list = list[min(len(list), max(int(hop.Len), unix.SizeofRtNexthop)):]
	}
	return hops
}

// allRoutes lists the routes of the main table that lie on an interface, or all of it where l is nil.
func allRoutes(l netlink.Link) ([]netlink.Route, error) {
	return dump.Whole(func() ([]netlink.Route, error) { return netlink.RouteList(l, netlink.FAMILY_ALL) })
}

// routeOf reads a route of the main table to a single address that lies on the interface itself. What the kernel adds
// by itself leads to an address of the host, such as the gateway that a network plugin gives the host's side of a veth
// pair.
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

// onward lists the interfaces through which a route leads to others than single hosts on the link: it is the way out of
// a node that is a container itself, or a router's, and not a pod's.
func onward(r netlink.Route) (list []int) {
	if _, single := routeOf(r); single || r.Protocol == unix.RTPROT_KERNEL || r.Table != unix.RT_TABLE_MAIN {
		return nil
	}
	for _, hop := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex}) {
		list = append(list, hop.LinkIndex)
	}
	return slices.DeleteFunc(list, func(ifindex int) bool { return ifindex == 0 })
}
