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
	routes := img("closed", "closed")
	routes.Pods[0].MayRoute = true
	for name, r := range discoverers(t) {
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
			{"to who may be beyond a router", nil, own, near, 135, 255, 32, bpf.ReasonClosed},
			{"is the gateway still there", nil, own, "fe80::ff", 135, 255, 32, bpf.ReasonNeighbour},
			{"advertisement to who may be beyond a router", nil, own, near, 136, 255, 32, bpf.ReasonClosed},
			{"advertisement to all", nil, "fe80::1", all, 136, 255, 32, bpf.ReasonNeighbour},
			{"listener report", nil, "fe80::1", "ff02::16", 143, 1, 28, bpf.ReasonNeighbour},
			{"what nobody on the link is", nil, own, far, 135, 255, 32, bpf.ReasonClosed},
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
			{"redirect of a router", routes, "fe80::1", "fe80::2", 137, 255, 40, bpf.ReasonNeighbour},
			{"a router's, for the address of another", routes, near, solicited, 135, 255, 24, bpf.ReasonNeighbour},
			{"a router's to afar", routes, near, far, 135, 255, 24, bpf.ReasonClosed},
			{"a router's advertisement to afar", routes, near, far, 134, 255, 24, bpf.ReasonClosed},
		} {
			policy := c.policy
			if policy == nil {
				policy = img("closed", "closed")
			}
			if err := r.load(policy); err != nil {
				t.Fatal(err)
			}
			if got, err := r.run(flow.Egress, another, discovery(c.src, c.dst, c.kind, c.hop, c.bytes)); err != nil || got != c.want {
				t.Errorf("%s: %s: %s (%v), want %s", name, c.what, got, err, c.want)
			}
		}
	}
}

// discovery is an ICMPv6 message of a type.
func discovery(src, dst string, kind, hop byte, bytes int) []byte {
	f := frame.IP(flow.Tuple{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: flow.ICMPv6},
		append([]byte{kind}, make([]byte, bytes-1)...))
	f[14+7] = hop
	return f
}

// TestDiscoveryComesFromTheLink: what reaches a closed pod for discovery comes from its link. A hop limit of 255 shows that, and one of 1 does not: a
// sender afar leaves just as much of it as is used up on the way. Then only what no router forwards shows it (RFC 4291, 2.5.2, 2.5.6
// and 2.7).
func TestDiscoveryComesFromTheLink(t *testing.T) {
	const all, own, near, far, link = "ff02::1", "fd00:1::1", "fd00:1::2", "2001:db8::9", "fe80::2"
	for name, r := range discoverers(t) {
		if err := r.load(img("closed", "closed")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what      string
			src, dst  string
			kind, hop byte
			want      bpf.Reason
		}{
			{"solicitation", near, own, 135, 255, bpf.ReasonNeighbour},
			{"solicitation from afar", near, own, 135, 254, bpf.ReasonClosed},
			{"router advertisement", link, all, 134, 255, bpf.ReasonNeighbour},
			{"router advertisement from afar", far, own, 134, 64, bpf.ReasonClosed},
			{"query", link, all, 130, 1, bpf.ReasonNeighbour},
			{"query about a group", link, "ff05::123", 130, 1, bpf.ReasonNeighbour},
			{"query by nobody", "::", all, 130, 1, bpf.ReasonNeighbour},
			{"query by who has no address of the link yet", near, all, 130, 1, bpf.ReasonNeighbour},
			{"report of another one", link, "ff05::123", 131, 1, bpf.ReasonNeighbour},
			{"query from afar", near, own, 130, 1, bpf.ReasonClosed},
			{"report from afar", far, own, 143, 1, bpf.ReasonClosed},
			{"report from afar to a group", far, "ff05::123", 143, 1, bpf.ReasonClosed},
			{"end of listening from afar", far, own, 132, 1, bpf.ReasonClosed},
		} {
			if got, err := r.run(flow.Ingress, another, discovery(c.src, c.dst, c.kind, c.hop, 1000)); err != nil || got != c.want {
				t.Errorf("%s: %s: %s (%v), want %s", name, c.what, got, err, c.want)
			}
		}
	}
}

// TestNeighboursAreKnownByWhatCameFromThem: a closed pod answers, and asks again, whoever looked for neighbours on its link, by any address; and
// tells nobody else anything that a router would carry on.
func TestNeighboursAreKnownByWhatCameFromThem(t *testing.T) {
	const own, near, far = "fd00:1::1", "fd00:1::2", "2001:db8::9"
	for name, r := range discoverers(t) {
		if err := r.load(img("closed", "closed")); err != nil {
			t.Fatal(err)
		}
		run := func(what string, dir flow.Direction, frame []byte, want bpf.Reason) {
			t.Helper()
			if got, err := r.run(dir, another, frame); err != nil || got != want {
				t.Errorf("%s: %s: %s (%v), want %s", name, what, got, err, want)
			}
		}
		for _, neighbour := range []string{near, far} {
			for _, kind := range []byte{135, 136} {
				run("to who is not known", flow.Egress, discovery(own, neighbour, kind, 255, 32), bpf.ReasonClosed)
			}
			run("from afar", flow.Ingress, discovery(neighbour, own, 135, 254, 32), bpf.ReasonClosed)
			run("about routers", flow.Ingress, discovery(neighbour, own, 133, 255, 32), bpf.ReasonNeighbour)
			run("to who came from afar", flow.Egress, discovery(own, neighbour, 136, 255, 32), bpf.ReasonClosed)
			run("to who looked for a neighbour", flow.Ingress, discovery(neighbour, "ff02::1:ff00:1", 135, 255, 32), bpf.ReasonNeighbour)
			run("the answer", flow.Egress, discovery(own, neighbour, 136, 255, 32), bpf.ReasonNeighbour)
			run("is it still there", flow.Egress, discovery(own, neighbour, 135, 255, 32), bpf.ReasonNeighbour)
			run("more than a solicitation", flow.Egress, discovery(own, neighbour, 135, 255, 33), bpf.ReasonClosed)
			run("router solicitation", flow.Egress, discovery(own, neighbour, 133, 255, 16), bpf.ReasonClosed)
			run("listener report", flow.Egress, discovery(own, neighbour, 143, 1, 28), bpf.ReasonClosed)
		}
		run("an advertisement makes a neighbour, too", flow.Ingress, discovery("fd00:1::3", own, 136, 255, 32), bpf.ReasonNeighbour)
		run("is it still there", flow.Egress, discovery(own, "fd00:1::3", 135, 255, 32), bpf.ReasonNeighbour)
		run("another one", flow.Egress, discovery(own, "fd00:1::4", 135, 255, 32), bpf.ReasonClosed)
	}
}

// discoverers are the twin and, where it can run, the kernel.
func discoverers(t *testing.T) map[string]runner {
	runners := map[string]runner{"twin": &twin{Datapath: datapath.New(bpf.Standard, func() time.Duration { return time.Hour })}}
	if os.Geteuid() == 0 {
		runners["kernel"] = &kernel{open(t, bpf.Options{}), 1}
	}
	return runners
}
