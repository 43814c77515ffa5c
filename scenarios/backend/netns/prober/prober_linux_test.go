package prober_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

var protocols = []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP}

// long is a timeout for probes that should be answered.
const long = 5 * time.Second

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a node with two dual-stack pods, a and b.
type world struct {
	prober *prober.Prober
	spaces map[string]*ns.NS
	node   *ns.NS
}

var addrs = map[string][]netip.Addr{
	"node": {netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("fd07::1")},
	"a":    {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd0a::1")},
	"b":    {netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd0a::2")},
}

func newWorld(t *testing.T) world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	f, err := fabric.New()
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	node, err := f.AddNode("node", addrs["node"])
	check(t, err)
	t.Cleanup(func() { check(t, node.Release()) })
	w := world{prober.New(), map[string]*ns.NS{"node": node.NS()}, node.NS()}
	for _, name := range []string{"a", "b"} {
		pod, err := node.AddPod("eni"+name, addrs[name])
		check(t, err)
		t.Cleanup(func() { check(t, pod.Release()) })
		check(t, pod.Up())
		w.spaces[name] = pod.NS()
	}
	t.Cleanup(w.prober.Close)
	for name, n := range w.spaces {
		w.prober.Add(name, n, addrs[name])
	}
	return w
}

// to is a probe from a to an address at port 80.
func to(a netip.Addr, proto flow.Protocol, timeout time.Duration) prober.Probe {
	at := netip.AddrPortFrom(a, 80)
	return prober.Probe{From: "a", To: at, Targets: []netip.AddrPort{at}, Protocol: proto, Timeout: timeout}
}

// outcomes runs probes and returns what became of each.
func (w world) outcomes(t *testing.T, probes ...prober.Probe) []backend.Observation {
	t.Helper()
	got, err := w.prober.Probe(t.Context(), probes)
	check(t, err)
	return got
}

func TestEveryListenerAnswersByItsName(t *testing.T) {
	w := newWorld(t)
	var probes []prober.Probe
	var want []string
	for _, from := range []string{"node", "a", "b"} {
		for _, target := range []string{"node", "a", "b"} {
			for _, a := range addrs[target] {
				for _, proto := range protocols {
					p := to(a, proto, long)
					p.From = from
					probes, want = append(probes, p), append(want, target)
				}
			}
		}
	}
	for range 2 { // the second time nothing listens anew
		for i, o := range w.outcomes(t, probes...) {
			if o.Outcome != backend.Connected || o.Answered != want[i] || o.RTT <= 0 {
				t.Errorf("%s to %s/%s: %+v, want an answer from %s", probes[i].From, probes[i].Protocol, probes[i].To, o, want[i])
			}
		}
	}
}

// each runs f once per protocol and family, with an address of b.
func each(t *testing.T, f func(t *testing.T, proto flow.Protocol, a netip.Addr)) {
	for _, proto := range protocols {
		for _, a := range addrs["b"] {
			t.Run(fmt.Sprintf("%s over %s", proto, flow.FamilyOf(a)), func(t *testing.T) { f(t, proto, a) })
		}
	}
}

func TestALostPacketIsBlocked(t *testing.T) {
	w := newWorld(t)
	check(t, w.node.Do(swallow(addrs["b"])))
	each(t, func(t *testing.T, proto flow.Protocol, a netip.Addr) {
		start := time.Now()
		got := w.outcomes(t, to(a, proto, 150*time.Millisecond))[0]
		if got.Outcome != backend.Blocked || got.Answered != "" {
			t.Errorf("observed %+v, want blocked", got)
		}
		if d := time.Since(start); d < 150*time.Millisecond {
			t.Errorf("given up after %s, before its timeout", d)
		}
	})
}

func TestALostAnswerIsOneWay(t *testing.T) {
	w := newWorld(t)
	check(t, w.spaces["b"].Do(removeDefaultRoutes))
	each(t, func(t *testing.T, proto flow.Protocol, a netip.Addr) {
		if got := w.outcomes(t, to(a, proto, 100*time.Millisecond))[0]; got.Outcome != backend.OneWay {
			t.Errorf("observed %+v, want one-way", got)
		}
	})
}

// swallow makes a router lose every packet to addrs.
func swallow(addrs []netip.Addr) func() error {
	return func() error {
		for _, a := range addrs {
			dst := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
			if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}); err != nil {
				return err
			}
		}
		return nil
	}
}

func removeDefaultRoutes() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if r.Gw == nil {
				continue
			}
			if err := netlink.RouteDel(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestAClosedPortRefuses(t *testing.T) {
	w := newWorld(t)
	each(t, func(t *testing.T, proto flow.Protocol, a netip.Addr) {
		w.outcomes(t, to(a, proto, long)) // so that b speaks the protocol
		closed := to(a, proto, long)
		closed.To, closed.Targets = netip.AddrPortFrom(a, 81), nil
		if got := w.outcomes(t, closed)[0]; got.Outcome != backend.Refused || got.Detail == "" {
			t.Errorf("observed %+v, want refused", got)
		}
	})
}

func TestAnAddressThatNobodyHasIsRefusedByTheFabric(t *testing.T) {
	w := newWorld(t)
	for _, nobody := range []string{"10.9.9.9", "fd0a::99"} {
		for _, proto := range protocols {
			if got := w.outcomes(t, to(netip.MustParseAddr(nobody), proto, long))[0]; got.Outcome != backend.Refused {
				t.Errorf("%s to %s: observed %+v, want refused", proto, nobody, got)
			}
		}
	}
}

func TestAProbeThatCannotBeMadeIsAnError(t *testing.T) {
	w := newWorld(t)
	stranger, hasty := to(addrs["b"][0], flow.TCP, long), to(addrs["b"][0], flow.TCP, 0)
	stranger.From = "c"
	icmp := to(addrs["b"][0], flow.ICMP, long)
	for name, p := range map[string]prober.Probe{
		"unknown source": stranger, "no timeout": hasty, "protocol without ports": icmp,
	} {
		if got, err := w.prober.Probe(t.Context(), []prober.Probe{p}); err == nil {
			t.Errorf("%s: observed %+v, want an error", name, got)
		}
	}
}

func TestHundredsOfProbesLastOneTimeout(t *testing.T) {
	w := newWorld(t)
	check(t, w.node.Do(swallow(addrs["b"])))
	var probes []prober.Probe
	for i := range 400 {
		target := addrs[[]string{"node", "b"}[i%2]][i/2%2]
		probes = append(probes, to(target, protocols[i%3], 250*time.Millisecond))
	}
	w.outcomes(t, probes[:12]...)
	start := time.Now()
	for i, o := range w.outcomes(t, probes...) {
		if want := []backend.Outcome{backend.Connected, backend.Blocked}[i%2]; o.Outcome != want {
			t.Errorf("%s to %s: %+v, want %s", probes[i].Protocol, probes[i].To, o, want)
		}
	}
	t.Logf("400 probes, half of them blocked, took %s", time.Since(start))
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("400 probes took %s: they did not run side by side", d)
	}
}
