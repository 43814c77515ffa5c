package datapath_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// TestDiscoveryStaysOnTheLink: what a closed pod sends for discovery reaches its link and nobody beyond: routers forward it like
// anything else, and only receivers look at the hop limit (RFC 4861, 6.1 and 7.1). A pod is no router, and does not lie about its address.
func TestDiscoveryStaysOnTheLink(t *testing.T) {
	const all, router, solicited, own, near, far = "ff02::1", "ff02::2", "ff02::1:ff00:2", "fd00:1::1", "fd00:1::2", "2001:db8::9"
	runners := map[string]runner{"twin": &twin{Datapath: datapath.New(bpf.Standard, func() time.Duration { return time.Hour })}}
	if os.Geteuid() == 0 {
		runners["kernel"] = &kernel{open(t, bpf.Options{}), 1}
	}
	routes := img("closed", "closed")
	routes.Pods[0].MayRoute = true
	for name, r := range runners {
		for _, c := range []struct {
			what      string
			policy    *bpf.Image
			src, dst  string
			kind, hop byte
			bytes     int
			want      bpf.Reason
		}{
			{"router solicitation", nil, "fe80::1", router, 133, 255, 16, bpf.ReasonNeighbour},
			{"router solicitation without an address", nil, "::", router, 133, 255, 8, bpf.ReasonNeighbour},
			{"solicitation of a neighbour", nil, own, solicited, 135, 255, 32, bpf.ReasonNeighbour},
			{"is the address taken", nil, "::", solicited, 135, 255, 24, bpf.ReasonNeighbour},
			{"is the neighbour still there", nil, own, near, 135, 255, 32, bpf.ReasonNeighbour},
			{"is the gateway still there", nil, own, "fe80::ff", 135, 255, 32, bpf.ReasonNeighbour},
			{"advertisement to a neighbour", nil, own, near, 136, 255, 32, bpf.ReasonNeighbour},
			{"advertisement to all", nil, "fe80::1", all, 136, 255, 32, bpf.ReasonNeighbour},
			{"listener report", nil, "fe80::1", "ff02::16", 143, 1, 28, bpf.ReasonNeighbour},
			{"what nobody on the link is", nil, own, far, 135, 255, 32, bpf.ReasonClosed},
			{"more than a solicitation to a neighbour", nil, own, near, 135, 255, 33, bpf.ReasonClosed},
			{"router solicitation to a neighbour", nil, own, near, 133, 255, 16, bpf.ReasonClosed},
			{"to a group beyond the link", nil, own, "ff05::2", 135, 255, 24, bpf.ReasonClosed},
			{"listener report to afar", nil, own, far, 143, 1, 28, bpf.ReasonClosed},
			{"listener report to a neighbour", nil, own, near, 143, 1, 28, bpf.ReasonClosed},
			{"listener report to the group itself", nil, "fe80::1", "ff05::123", 131, 1, 24, bpf.ReasonNeighbour},
			{"listener report to a neighbour, by the first version", nil, own, near, 131, 1, 24, bpf.ReasonClosed},
			{"by another source", nil, near, solicited, 135, 255, 24, bpf.ReasonSpoofed},
			{"to afar by the link's address", nil, "fe80::1", far, 135, 255, 24, bpf.ReasonSpoofed},
			{"router advertisement", nil, "fe80::1", all, 134, 255, 16, bpf.ReasonSpoofed},
			{"redirect", nil, "fe80::1", all, 137, 255, 40, bpf.ReasonSpoofed},
			{"redirect by the own address", nil, own, "fe80::ff", 137, 255, 40, bpf.ReasonClosed},
			{"router advertisement of an open pod", img("open", "open"), "fe80::1", all, 134, 255, 16, bpf.ReasonSpoofed},
			{"router advertisement of a router", routes, "fe80::1", all, 134, 255, 16, bpf.ReasonNeighbour},
			{"a router's to afar", routes, near, far, 135, 255, 24, bpf.ReasonNeighbour},
		} {
			policy := c.policy
			if policy == nil {
				policy = img("closed", "closed")
			}
			if err := r.load(policy); err != nil {
				t.Fatal(err)
			}
			f := frame.IP(flow.Tuple{Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr(c.dst), Protocol: flow.ICMPv6},
				append([]byte{c.kind}, make([]byte, c.bytes-1)...))
			f[14+7] = c.hop
			if got, err := r.run(flow.Egress, another, f); err != nil || got != c.want {
				t.Errorf("%s: %s: %s (%v), want %s", name, c.what, got, err, c.want)
			}
		}
	}
}
