package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf/hook/dump"
)

// closedAlias begins the alias of an interface that Close took down. The addresses that it leads to follow: the kernel
// forgets the routes of an interface that goes down, and an agent may end before it is up again.
const closedAlias = "palisade: down because it cannot be filtered;"

// aliasSize is the room for an alias and a zero byte (IFALIASZ).
const aliasSize = 256

// Close takes an interface down, so that no packet passes it. Calling it again does no harm.
func Close(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return fmt.Errorf("take interface %d down: %w", ifindex, err)
	}
	if !strings.HasPrefix(l.Attrs().Alias, closedAlias) {
		routes, err := routesOf(l)
		if err != nil {
			return fmt.Errorf("take interface %d down: %w", ifindex, err)
		}
		if err := netlink.LinkSetAlias(l, remember(routes)); err != nil {
			return fmt.Errorf("mark interface %d: %w", ifindex, err)
		}
	}
	if err := netlink.LinkSetDown(l); err != nil {
		return fmt.Errorf("take interface %d down: %w", ifindex, err)
	}
	return nil
}

// Open sets an interface up that Close took down, with the routes that it had. It leaves others alone.
func Open(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return fmt.Errorf("set interface %d up: %w", ifindex, err)
	}
	alias := l.Attrs().Alias
	if !strings.HasPrefix(alias, closedAlias) {
		return nil
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set interface %d up: %w", ifindex, err)
	}
	for _, r := range recall(alias) {
		r.LinkIndex = ifindex
		if err := netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("route to %s by interface %d: %w", r.Dst, ifindex, err)
		}
	}
	if err := netlink.LinkSetAlias(l, ""); err != nil {
		return fmt.Errorf("unmark interface %d: %w", ifindex, err)
	}
	return nil
}

// Closed lists the interfaces that are down because of Close.
func Closed() ([]core.Closed, error) {
	links, err := dump.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var list []core.Closed
	for _, l := range links {
		alias := l.Attrs().Alias
		if !strings.HasPrefix(alias, closedAlias) {
			continue
		}
		c := core.Closed{Ifindex: uint32(l.Attrs().Index)}
		for _, r := range recall(alias) {
			if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
				c.Addrs = append(c.Addrs, a.Unmap())
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// routesOf lists the routes to single addresses that lie on an interface.
func routesOf(l netlink.Link) ([]netlink.Route, error) {
	all, err := allRoutes(l)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var list []netlink.Route
	for _, r := range all {
		if _, ok := routeOf(r); ok {
			list = append(list, r)
		}
	}
	return list, nil
}

// remember writes routes into an alias, as address, scope and preferred source. An alias has room for eight IPv4 routes or
// three of IPv6; a pod has one of each. What does not fit is forgotten.
func remember(routes []netlink.Route) string {
	alias := closedAlias
	for _, r := range routes {
		src := ""
		if r.Src != nil {
			src = r.Src.String()
		}
		if next := fmt.Sprintf("%s %s,%d,%s", alias, r.Dst.IP, r.Scope, src); len(next) < aliasSize {
			alias = next
		}
	}
	return alias
}

// recall reads what remember wrote, and skips what it cannot read: others may write aliases, too.
func recall(alias string) []netlink.Route {
	var list []netlink.Route
	for _, text := range strings.Fields(strings.TrimPrefix(alias, closedAlias)) {
		var scope uint8
		part := strings.Split(text, ",")
		if len(part) != 3 {
			continue
		}
		dst := net.ParseIP(part[0])
		if _, err := fmt.Sscan(part[1], &scope); err != nil || dst == nil {
			continue
		}
		list = append(list, netlink.Route{
			Dst: netlink.NewIPNet(dst), Scope: netlink.Scope(scope), Src: net.ParseIP(part[2]), Table: unix.RT_TABLE_MAIN,
		})
	}
	return list
}
