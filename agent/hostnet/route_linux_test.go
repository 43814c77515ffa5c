package hostnet

import (
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// TestRoutesThatLeadToPods: a route to one address on the interface itself, which somebody made.
func TestRoutesThatLeadToPods(t *testing.T) {
	to := func(cidr string) netlink.Route {
		_, dst, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		return netlink.Route{Dst: dst, LinkIndex: 7, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT}
	}
	byKernel, elsewhere, byGateway := to("fd00::1/128"), to("10.0.0.9/32"), to("10.0.0.9/32")
	byKernel.Protocol = unix.RTPROT_KERNEL
	elsewhere.Table = unix.RT_TABLE_LOCAL
	byGateway.Gw = net.IPv4(10, 0, 0, 1)
	for name, c := range map[string]struct {
		route netlink.Route
		want  string // the pod's address
	}{
		"to an IPv4 pod":                       {to("10.0.0.9/32"), "10.0.0.9"},
		"to an IPv6 pod":                       {to("fd00::9/128"), "fd00::9"},
		"to a network":                         {to("10.0.0.0/24"), ""},
		"to the host's own end, by the kernel": {byKernel, ""},
		"in another table":                     {elsewhere, ""},
		"by way of a gateway":                  {byGateway, ""},
		"to everywhere":                        {netlink.Route{LinkIndex: 7, Table: unix.RT_TABLE_MAIN}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, ok := routeOf(c.route)
			if ok != (c.want != "") || ok && (r.Addr.String() != c.want || r.Ifindex != 7) {
				t.Errorf("got %+v, %v; want a pod at %q", r, ok, c.want)
			}
		})
	}
}

// TestRoutesAreReadAsTheyAreListed: what the kernel tells of a route means what it says of it in a list.
func TestRoutesAreReadAsTheyAreListed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	space, err := ns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = space.Close() }()
	told := make(chan []syscall.NetlinkMessage, 64)
	whole := func(messages []syscall.NetlinkMessage) []syscall.NetlinkMessage { return messages }
	var want []string
	err = space.Do(func() error {
		lost := func(error) {}
		err := subscribe(t.Context(), lost, told, whole, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		if err != nil {
			return err
		}
		if err := addRoutes(); err != nil {
			return err
		}
		listed, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		for _, r := range listed {
			want = append(want, meaning(r))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for got := []string{}; !slices.Equal(got, want); {
		select {
		case messages := <-told:
			for _, m := range messages {
				r, err := readRoute(m.Data)
				if err != nil || !slices.Contains(want, meaning(r)) {
					t.Fatalf("told of %s, %v, which is not among %q", meaning(r), err, want)
				}
				got = append(got, meaning(r))
			}
			slices.Sort(got)
			got = slices.Compact(got)
		case <-time.After(20 * time.Second):
			t.Fatalf("told of %q, want %q", got, want)
		}
	}
}

// meaning is what a route says to a watch.
func meaning(r netlink.Route) string {
	to, ok := routeOf(r)
	return fmt.Sprint(to, ok, onward(r))
}

// addRoutes adds some of all kinds in the namespace of the thread.
func addRoutes() error {
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "one"})
	veth.PeerName = "other"
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	var index []int
	for _, name := range []string{"one", "other", "lo"} { // without lo no gateway can be used
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		index = append(index, l.Attrs().Index)
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
	}
	one, two, gw, onlink := index[0], index[1], net.IPv4(169, 254, 1, 1), int(netlink.FLAG_ONLINK)
	routes := []netlink.Route{
		{LinkIndex: one, Scope: netlink.SCOPE_LINK}, {LinkIndex: one, Scope: netlink.SCOPE_LINK, Priority: 70000},
		{LinkIndex: one, Scope: netlink.SCOPE_LINK, Table: 100},
		{LinkIndex: one, Scope: netlink.SCOPE_LINK, Table: 1000},
		{LinkIndex: one, Gw: gw, Flags: onlink, Priority: 5},
		{Priority: 6, MultiPath: []*netlink.NexthopInfo{
			{LinkIndex: one, Gw: gw, Flags: onlink}, {LinkIndex: two, Gw: gw, Flags: onlink},
		}},
	}
	for i := range routes {
		routes[i].Dst = netlink.NewIPNet(net.IPv4(10, 0, 0, 7))
	}
	for _, dst := range []string{"10.7.0.0/16", "fd00::7/128", "fd00:7::/64", "::/0", "0.0.0.0/0"} {
		_, to, err := net.ParseCIDR(dst)
		if err != nil {
			return err
		}
		routes = append(routes, netlink.Route{LinkIndex: two, Dst: to, Scope: netlink.SCOPE_LINK})
	}
	for _, r := range routes {
		if err := netlink.RouteAdd(&r); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}
