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

// TestRepliesAreRememberedForTheirFlowOnly: the kernel keeps replies that it has allowed in a small table by a hash of
// their addresses and ports, so others that come to the same place must be told apart.
func TestRepliesAreRememberedForTheirFlowOnly(t *testing.T) {
	needRoot(t)
	h := open(t, bpf.Options{})
	k := &kernel{h, 1}
	if err := k.load(img("closed", "peer:80")); err != nil {
		t.Fatal(err)
	}
	opened := flow.Tuple{Src: peerIP, Dst: podIP, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}
	send := func(dir flow.Direction, tuple flow.Tuple, kind frame.Kind, want bpf.Reason) {
		t.Helper()
		if got, err := k.run(dir, false, frame.New(tuple, kind)); err != nil || got != want {
			t.Fatalf("%s %+v: got %s (%v), want %s", dir, tuple, got, err, want)
		}
	}
	send(flow.Ingress, opened, frame.First, bpf.ReasonPolicy)
	reply := opened.Reply()
	for range 2 { // looked up, then remembered
		send(flow.Egress, reply, frame.Later, bpf.ReasonReply)
	}
	for port := 1; port <= 65535; port++ {
		other := reply
		other.DstPort = uint16(port)
		if other != reply {
			send(flow.Egress, other, frame.Later, bpf.ReasonClosed)
		}
		other = reply
		other.SrcPort = uint16(port)
		if other != reply {
			send(flow.Egress, other, frame.Later, bpf.ReasonClosed)
		}
		if port%1000 == 0 { // so that it is still there
			send(flow.Egress, reply, frame.Later, bpf.ReasonReply)
		}
	}
}

// TestRepliesComeFromTheAddressThatWasCalled: a pod that may send from any address answers from the one that a flow goes to, and
// flows that differ in nothing else are several.
func TestRepliesComeFromTheAddressThatWasCalled(t *testing.T) {
	const others = 1000 // some of which share a place of the kernel's table
	readers := map[string]runner{}
	w := &twin{now: time.Hour}
	w.Datapath = datapath.New(bpf.Standard, func() time.Duration { return w.now })
	readers["twin"] = w
	if os.Geteuid() == 0 {
		h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 16 << 10}})
		readers["kernel"] = &kernel{h, 1}
	}
	router := img("closed", "peer:80")
	router.Pods[0].MayRoute = true
	called := []step{in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy)}
	answers := []step{out(flow.TCP, frame.Later, 80, 5000, bpf.ReasonReply)}
	strays := []step{out(flow.TCP, frame.Later, 80, 5000, bpf.ReasonClosed)}
	for name, r := range readers {
		for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
			t.Run(name+"/"+flow.FamilyOf(addrs[0]).String(), func(t *testing.T) {
				first, peer := addrs[0], addrs[1]
				fromOthers := func(steps []step) {
					for n, other := 0, peer.Next(); n < others; n, other = n+1, other.Next() {
						playSteps(t, r, steps, other, peer)
					}
				}
				playSteps(t, r, append([]step{{policy: router}}, called...), first, peer)
				fromOthers(strays)
				playSteps(t, r, answers, first, peer)
				fromOthers(called)
				playSteps(t, r, answers, first, peer)
				fromOthers(answers)
			})
		}
	}
}

// TestLastPacketSpeaksForItsFlowOnly: the kernel decides a packet like the one before it where both belong to one flow of
// one pod. What differs in one thing only is asked about anew.
func TestLastPacketSpeaksForItsFlowOnly(t *testing.T) {
	needRoot(t)
	for _, addrs := range [][2]netip.Addr{{peerIP, podIP}, {peerIP6, podIP6}} {
		t.Run(flow.FamilyOf(addrs[0]).String(), func(t *testing.T) { lastPacket(t, addrs[0], addrs[1]) })
	}
}

func lastPacket(t *testing.T, peer, pod netip.Addr) {
	h := open(t, bpf.Options{})
	// Two pods with one address, of which only one may be called: that happens for a moment when a pod is replaced.
	both := img("open", "peer:80")
	both.Pods = append(both.Pods, both.Pods[0])
	both.Pods[1].Ifindex, both.Pods[1].Sets[flow.Ingress] = iface+1, bpf.SetClosed
	// The peer's IPv6 address has a page, since the kernel remembers no packet of others.
	var page bpf.AddrPage
	last := peerIP6.As16()[15]
	page.Slot[last] = 1
	both.Hosts, both.Peers4 = nil, append(both.Peers4, page)
	if err := both.PutPrefix6(netip.PrefixFrom(peerIP6, 120), len(both.Peers4)-1); err != nil {
		t.Fatal(err)
	}
	sync := func(img *bpf.Image) {
		t.Helper()
		if _, err := h.Sync(img); err != nil {
			t.Fatal(err)
		}
	}
	sync(both)
	for _, p := range []flow.Protocol{flow.TCP, flow.UDP} {
		allowed := flow.Tuple{Src: peer, Dst: pod, Protocol: p, SrcPort: 4000, DstPort: 80}
		ask := func(ifindex uint32, tuple flow.Tuple, want bpf.Reason) {
			t.Helper()
			got, err := h.Run(flow.Ingress, ifindex, false, frame.New(tuple, frame.Later))
			if err != nil || got.Reason != want {
				t.Errorf("interface %d, %+v: got %s (%v), want %s", ifindex, tuple, got.Reason, err, want)
			}
		}
		// Each is sent right after the one that is allowed.
		other := func(ifindex uint32, change func(*flow.Tuple), want bpf.Reason) {
			t.Helper()
			ask(iface, allowed, bpf.ReasonPolicy)
			ask(iface, allowed, bpf.ReasonPolicy)
			tuple := allowed
			change(&tuple)
			ask(ifindex, tuple, want)
		}
		other(iface+1, func(*flow.Tuple) {}, bpf.ReasonClosed)
		for at := range 2 {
			other(iface, func(t *flow.Tuple) { t.Src = otherByte(t.Src, at) }, bpf.ReasonNoRule)
		}
		other(iface, func(t *flow.Tuple) { t.DstPort = 81 }, bpf.ReasonNoRule)
		// The pod is replaced by one that is not known yet: in the same epoch, its sets are void.
		ask(iface, allowed, bpf.ReasonPolicy)
		if err := h.Introduce(bpf.Pod{Ifindex: iface, Instance: 7, IP4: podIP, IP6: podIP6}); err != nil {
			t.Fatal(err)
		}
		ask(iface, allowed, bpf.ReasonNotIsolated)
		sync(both)
		// The pod goes, also in the same epoch.
		ask(iface, allowed, bpf.ReasonPolicy)
		epoch, alone := h.Epoch(), *both
		alone.Pods = both.Pods[1:]
		sync(&alone)
		if h.Epoch() != epoch {
			t.Fatal("the tables were written although no rule has changed")
		}
		ask(iface, allowed, bpf.ReasonUnknownPodOpen)
		sync(both)
	}
}

// otherByte returns an address that differs in one byte only.
func otherByte(a netip.Addr, at int) netip.Addr {
	bytes := a.AsSlice()
	bytes[at] ^= 1
	other, _ := netip.AddrFromSlice(bytes)
	return other
}
