package hostnet

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
