package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// foreign counts what a pod sends to another one from an address that is not its own.
type foreign struct {
	*testbed
	from    string
	at      netip.Addr
	to      netip.AddrPort
	out, in *net.UDPConn
}

// sendForeign gives a pod a second address, which nobody else learns of, to send from to another pod.
func (b *testbed) sendForeign(from string, at netip.Addr, name string, to netip.Addr) *foreign {
	b.Helper()
	b.must(b.pods[from].NS().Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrReplace(lo, &netlink.Addr{IPNet: netlink.NewIPNet(at.AsSlice())})
	}))
	target := netip.AddrPortFrom(to, 7000)
	return &foreign{b, from, at, target, b.listenUDP(from, netip.AddrPortFrom(at, 0)), b.listenUDP(name, target)}
}

// arrives says whether one of some packets reaches the other pod.
func (f *foreign) arrives() bool {
	f.Helper()
	buf := make([]byte, 64)
	for range 3 {
		if _, err := f.out.WriteToUDPAddrPort([]byte("x"), f.to); err != nil {
			f.Fatal(err)
		}
		f.must(f.in.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
		_, from, err := f.in.ReadFromUDPAddrPort(buf)
		var timeout net.Error
		switch {
		case err == nil && from.Addr() == f.at:
			return true
		case err == nil || !errors.As(err, &timeout):
			f.Fatalf("a packet from %s (%v)", from, err)
		}
	}
	return false
}

// want compares whether packets arrive, and that each which does not is counted for the reason.
func (f *foreign) want(arrives bool, reason string) {
	f.Helper()
	name := `palisade_agent_packets_total{direction="egress",reason="` + reason + `",verdict="deny"}`
	before := f.metric(name)
	if got := f.arrives(); got != arrives {
		f.Errorf("what %s sends to %s from an address that is not its own arrives: %t, want %t", f.from, f.to, got, arrives)
	}
	if counted := f.metric(name) != before; counted == arrives {
		f.Errorf("what %s sends to %s is counted as %s: %t", f.from, f.to, reason, counted)
	}
}

// mayOnlySend is the only PolicyEndpoint of a policy that isolates a pod's egress but for one peer.
func mayOnlySend(name string, addr, peer netip.Addr) *v1alpha1.PolicyEndpoint {
	o := ingressTo(name)
	o.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	o.Spec.PodSelectorEndpoints[0].Name, o.Spec.PodSelectorEndpoints[0].PodIP = name, v1alpha1.NetworkAddress(addr.String())
	o.Spec.Egress = []v1alpha1.EndpointInfo{{CIDR: v1alpha1.NetworkAddress(peer.String())}}
	return o
}

// TestPodsThatMayRouteSendFromAnyAddress where their policies let them, as long as the agent's flag names them, and no other pod.
func TestPodsThatMayRouteSendFromAnyAddress(t *testing.T) {
	const named = "-may-route=kube-system/*," + namespace + "/cli*"
	for _, hook := range []string{"auto", "clsact"} {
		t.Run(hook, func(t *testing.T) {
			b := newNode(t)
			b.addPod("third", thirdIP)
			b.must(b.pods["third"].Up())
			b.start("-hook", hook, named)
			b.awaitReady()
			b.putInForce(mayOnlySend("client", clientIP, serverIP))
			b.putInForce(mayOnlySend("server", serverIP, clientIP))
			b.putInForce(mayOnlySend("third", thirdIP, clientIP))

			virtual, stolen := netip.MustParseAddr("10.1.0.98"), netip.MustParseAddr("10.1.0.99")
			client := b.sendForeign("client", virtual, "server", serverIP)
			elsewhere := b.sendForeign("client", virtual, "third", thirdIP)
			neighbour := b.sendForeign("server", stolen, "client", clientIP)
			client.want(true, "spoofed")
			elsewhere.want(false, "no-rule")
			neighbour.want(false, "spoofed")
			if !b.connects("client", serverIP, 80) || b.connects("client", thirdIP, 80) {
				t.Error("a pod that may route is not judged by its policy from its own address")
			}

			for _, c := range []struct {
				args   []string
				routes bool
				writes bool
			}{{[]string{named}, true, false}, {nil, false, true}, {[]string{"-may-route=kube-system/*"}, false, false}, {[]string{named}, true, true}} {
				b.agent.stop()
				b.start(append(slices.Clone(c.args), "-hook", hook)...)
				b.awaitReady()
				writes := b.metric(`palisade_agent_writes_total{kind="pod"}`)
				if got := !strings.HasSuffix(writes, " 0"); got != c.writes {
					t.Errorf("restarted with %v: %s, want some: %t", c.args, writes, c.writes)
				}
				client.want(c.routes, "spoofed")
				elsewhere.want(false, map[bool]string{true: "no-rule", false: "spoofed"}[c.routes])
				neighbour.want(false, "spoofed")
			}
		})
	}
}

// TestNamesThatCannotBeNotedAreTold, and keep no pod from starting.
func TestNamesThatCannotBeNotedAreTold(t *testing.T) {
	b := newNode(t)
	full, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 324, MaxEntries: 1})
	b.must(err)
	b.closeLater(full.Close)
	dir := fmt.Sprintf("/proc/self/fd/%d/node", b.pins.Fd())
	b.must(os.MkdirAll(dir, 0o700))
	b.must(full.Pin(dir + "/pod-names-1"))
	b.start()
	b.awaitReady()
	const node, failures = `palisade_agent_condition{object="node"}`, `palisade_agent_errors_total{step="note-names"}`
	for i, name := range []string{"third", "fourth"} {
		if resp := b.addAndAsk(name, netip.AddrFrom4([4]byte{10, 1, 0, byte(3 + i)})); !resp.Programmed {
			t.Errorf("answer %+v about pod %s, want programmed", resp, name)
		}
		if told := b.metric(node) != ""; i == 0 && told {
			t.Errorf("there is room for a name, and a condition: %s", b.metric(node))
		}
	}
	b.await("that is told", func() bool { return b.metric(node) != "" && b.metric(failures) != "" })
	b.removePod("third")
	b.await("all is well again", func() bool { return b.metric("palisade_agent_conditions") == "palisade_agent_conditions 0" })
}

// TestPodsThatMayRouteAreKnownByTheirStart where no policy selects them: the CNI plugin tells their names, once, and not again to the
// next agent. The one that nobody told of may not, whatever the pattern.
func TestPodsThatMayRouteAreKnownByTheirStart(t *testing.T) {
	b := newNode(t)
	b.start("-may-route", "*/*")
	b.awaitReady()
	b.addAndAsk("third", thirdIP)
	third := b.sendForeign("third", netip.MustParseAddr("10.1.0.98"), "server", serverIP)
	server := b.sendForeign("server", netip.MustParseAddr("10.1.0.99"), "client", clientIP)
	third.want(true, "spoofed")
	server.want(false, "spoofed")
	b.agent.stop()
	b.start("-may-route", "*/*")
	b.awaitReady()
	if writes := b.metric(`palisade_agent_writes_total{kind="pod"}`); !strings.HasSuffix(writes, " 0") {
		t.Errorf("the restart wrote: %s", writes)
	}
	third.want(true, "spoofed")
	server.want(false, "spoofed")
	b.agent.stop()
	b.start()
	b.awaitReady()
	third.want(false, "spoofed")
}
