package probe_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/probe"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
)

var addrs = map[string][]netip.Addr{
	"node": {netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("fd07::1")},
	"n/a":  {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd0a::1")},
	"n/b":  {netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd0a::2")},
}

// long is a timeout for what should be answered, short for what should not.
const long, short = 5 * time.Second, 200 * time.Millisecond

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a node with two pods whose probes know nothing of each other but what the wire says.
type world struct {
	node    *fabric.Node
	sockets map[string]string
}

func newWorld(t *testing.T) world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	f, err := fabric.New()
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	w := world{sockets: map[string]string{}}
	w.node, err = f.AddNode("node", addrs["node"])
	check(t, err)
	t.Cleanup(func() { check(t, w.node.Release()) })
	for _, name := range []string{"a", "b"} {
		w.start(t, name)
	}
	return w
}

// start runs the probe of a pod.
func (w world) start(t *testing.T, name string) {
	t.Helper()
	title := "n/" + name
	pod, err := w.node.AddPod("eni"+name, addrs[title])
	check(t, err)
	t.Cleanup(func() { check(t, pod.Release()) })
	check(t, pod.Up())
	w.sockets[title] = filepath.Join(t.TempDir(), "probe")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		_, err := probe.Serve(ctx, probe.Options{
			Name: title, Addrs: addrs[title], Socket: w.sockets[title], NS: pod.NS(), Log: slog.New(slog.DiscardHandler),
			Ready: func() { close(ready) },
		})
		ended <- err
	}()
	t.Cleanup(func() { cancel(); check(t, <-ended) })
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
}

func (w world) ask(t *testing.T, who string, r wire.Request) wire.Reply {
	t.Helper()
	reply, err := probe.Ask(t.Context(), w.sockets[who], r)
	check(t, err)
	if reply.Error != "" {
		t.Fatalf("%s: %s", who, reply.Error)
	}
	return reply
}

// lose makes the node lose every packet to an address, or carry them again.
func (w world) lose(t *testing.T, a netip.Addr, lose bool) {
	t.Helper()
	check(t, w.node.NS().Do(func() error {
		route := &netlink.Route{Dst: netlink.NewIPNet(a.AsSlice()), Type: 6, Table: 100} // RTN_BLACKHOLE
		rule := netlink.NewRule()
		rule.Dst, rule.Priority, rule.Table = route.Dst, 1, 100
		if a.Is6() {
			rule.Family = netlink.FAMILY_V6
		}
		if !lose {
			return netlink.RuleDel(rule)
		}
		if err := netlink.RouteReplace(route); err != nil {
			return err
		}
		return netlink.RuleAdd(rule)
	}))
}

// each runs f for every protocol and family.
func each(t *testing.T, f func(t *testing.T, proto string, a, b netip.Addr)) {
	for _, proto := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
		for i, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			t.Run(proto.String()+"/"+family.String(), func(t *testing.T) {
				f(t, proto.String(), addrs["n/a"][i], addrs["n/b"][i])
			})
		}
	}
}

func one(proto string, a netip.Addr, port uint16, timeout time.Duration) wire.Request {
	return wire.Request{Probes: []wire.Probe{{Protocol: proto, To: netip.AddrPortFrom(a, port), Timeout: timeout}}}
}

// arrived asks b whether what a sent has arrived.
func (w world) arrived(t *testing.T, proto string, from netip.Addr, r wire.Result) bool {
	t.Helper()
	question := wire.Arrival{Protocol: proto, Addr: from, Port: r.Port, At: 80}
	return w.ask(t, "n/b", wire.Request{Arrived: []wire.Arrival{question}}).Arrived[0]
}

func TestOutcomesAreToldApart(t *testing.T) {
	each(t, func(t *testing.T, proto string, a, b netip.Addr) {
		w := newWorld(t)
		w.ask(t, "n/b", wire.Request{Listen: []wire.Listener{{Protocol: proto, At: netip.AddrPortFrom(b, 80)}}})

		seen := w.ask(t, "n/a", one(proto, b, 80, long)).Results[0]
		if seen.Outcome != wire.Connected || seen.Answered != "n/b" || !w.arrived(t, proto, a, seen) {
			t.Fatalf("an open port: %+v", seen)
		}
		if seen := w.ask(t, "n/a", one(proto, b, 81, long)).Results[0]; seen.Outcome != wire.Refused || seen.Detail == "" {
			t.Errorf("a closed port: %+v", seen)
		}
		w.lose(t, b, true)
		seen = w.ask(t, "n/a", one(proto, b, 80, short)).Results[0]
		if seen.Outcome != wire.Timeout || w.arrived(t, proto, a, seen) {
			t.Errorf("a packet that was lost on its way: %+v", seen)
		}
		w.lose(t, b, false)
		w.lose(t, a, true)
		seen = w.ask(t, "n/a", one(proto, b, 80, short)).Results[0]
		if seen.Outcome != wire.Timeout || !w.arrived(t, proto, a, seen) {
			t.Errorf("an answer that was lost on its way: %+v", seen)
		}
		if w.arrived(t, proto, netip.MustParseAddr("192.0.2.1"), seen) {
			t.Error("it is said to come from an address that it does not come from")
		}
		if !w.arrived(t, proto, netip.Addr{}, seen) {
			t.Error("it is not found by its port alone")
		}
	})
}

func TestAPacketThatCannotBeSentIsAnError(t *testing.T) {
	w := newWorld(t)
	loopback := netip.MustParseAddr("255.255.255.255")
	if seen := w.ask(t, "n/a", one("UDP", loopback, 80, long)).Results[0]; seen.Outcome != wire.Error {
		t.Errorf("observed %+v", seen)
	}
}

// exchange finds out which way packets pass over the connection "talk" that a opened.
func (w world) exchange(t *testing.T, opening uint64, timeout time.Duration) (there, back bool) {
	t.Helper()
	asked := w.ask(t, "n/a", wire.Request{Ask: []string{"talk"}, Timeout: timeout}).Asked[0]
	there = w.ask(t, "n/b", wire.Request{Heard: []uint64{asked.Number}}).Heard[0]
	if there || asked.Back {
		return there, asked.Back
	}
	w.ask(t, "n/b", wire.Request{Speak: []wire.Speech{{Opening: opening, Number: asked.Number}}})
	await := wire.Request{Await: []wire.Await{{Name: "talk", Number: asked.Number}}, Timeout: timeout}
	return false, w.ask(t, "n/a", await).Awaited[0].Back
}

func TestAKeptConnectionBetweenTwoProbes(t *testing.T) {
	each(t, func(t *testing.T, proto string, a, b netip.Addr) {
		w := newWorld(t)
		w.ask(t, "n/b", wire.Request{Listen: []wire.Listener{{Protocol: proto, At: netip.AddrPortFrom(b, 80)}}})
		open := wire.Probe{Protocol: proto, To: netip.AddrPortFrom(b, 80), Timeout: long}
		kept := w.ask(t, "n/a", wire.Request{Keep: &wire.Keep{Name: "talk", Probe: open}}).Kept
		if kept.Outcome != wire.Connected || kept.Opening == 0 {
			t.Fatalf("opened: %+v", kept)
		}
		if there, back := w.exchange(t, kept.Opening, long); !there || !back {
			t.Errorf("open: there %v, back %v", there, back)
		}
		w.lose(t, b, true)
		if there, back := w.exchange(t, kept.Opening, short); there || !back {
			t.Errorf("packets there are lost: there %v, back %v", there, back)
		}
		w.lose(t, a, true)
		if there, back := w.exchange(t, kept.Opening, short); there || back {
			t.Errorf("all packets are lost: there %v, back %v", there, back)
		}
		w.lose(t, a, false)
		w.lose(t, b, false)
		w.ask(t, "n/a", wire.Request{HangUp: []string{"talk"}})
		again := w.ask(t, "n/a", wire.Request{Keep: &wire.Keep{Name: "talk", Probe: open}}).Kept
		if again.Outcome != wire.Connected || again.Opening == kept.Opening {
			t.Fatalf("opened again under the same name: %+v, first %+v", again, kept)
		}
		if there, back := w.exchange(t, again.Opening, long); !there || !back {
			t.Errorf("opened again: there %v, back %v", there, back)
		}
	})
}

func TestARequestThatCannotBeCarriedOutIsAnError(t *testing.T) {
	w := newWorld(t)
	for name, r := range map[string]wire.Request{
		"a protocol without ports": one("ICMP", addrs["n/b"][0], 80, short),
		"an unknown connection":    {Ask: []string{"nobody"}},
		"an unknown conversation":  {Speak: []wire.Speech{{Opening: 1, Number: 2}}},
		"somebody else's address": {Listen: []wire.Listener{
			{Protocol: "TCP", At: netip.AddrPortFrom(addrs["n/b"][0], 80)}}},
	} {
		reply, err := probe.Ask(t.Context(), w.sockets["n/a"], r)
		if err != nil || reply.Error == "" {
			t.Errorf("%s: reply %+v, error %v", name, reply, err)
		}
	}
}
