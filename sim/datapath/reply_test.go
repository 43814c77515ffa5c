package datapath_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/onecpu"
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
		if got, err := k.run(dir, another, frame.New(tuple, kind)); err != nil || got != want {
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

// TestAddressesThatDifferInUpperBitsAreSeveral: a flow of IPv6 is told apart from one at another address of the pod by a hash, in which what
// differs in both halves of the addresses must not cancel out.
func TestAddressesThatDifferInUpperBitsAreSeveral(t *testing.T) {
	needRoot(t)
	router := img("closed", "peer:80")
	router.Pods[0].MayRoute = true
	r := &kernel{open(t, bpf.Options{}), 1}
	playSteps(t, r, []step{{policy: router}, in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy)}, podIP6, peerIP6)
	for high := range 8 {
		for low := range 8 {
			other := podIP6.As16()
			other[0] ^= 1 << high
			other[8] ^= 1 << low
			playSteps(t, r, []step{out(flow.TCP, frame.Later, 80, 5000, bpf.ReasonClosed)}, netip.AddrFrom16(other), peerIP6)
		}
	}
	playSteps(t, r, []step{out(flow.TCP, frame.Later, 80, 5000, bpf.ReasonReply)}, podIP6, peerIP6)
}

// TestLastPacketSpeaksForItsFlowOnly: the kernel decides a packet like one of the last where nothing differs that the decision was made on.
// What differs in one thing is asked about anew.
func TestLastPacketSpeaksForItsFlowOnly(t *testing.T) {
	needRoot(t)
	for _, addrs := range [][2]netip.Addr{{peerIP, podIP}, {peerIP6, podIP6}} {
		family := flow.FamilyOf(addrs[0]).String()
		t.Run(family, func(t *testing.T) { lastPacket(t, withPage6(t, img("peer:80", "peer:80")), addrs[0], addrs[1]) })
		t.Run(family+" without pages", func(t *testing.T) { lastPacket(t, withoutPages(img("peer:80", "peer:80")), addrs[0], addrs[1]) })
	}
}

// variants is how many packets that differ in one thing are tried: more than the kernel has places for the last ones, so that some come
// to the same place.
const variants = 64

// withPage6 gives the peer's IPv6 address a page.
func withPage6(t *testing.T, img *bpf.Image) *bpf.Image {
	t.Helper()
	var page bpf.AddrPage
	last := peerIP6.As16()[15]
	page.Slot[last] = 1
	img.Hosts, img.Peers4 = nil, append(img.Peers4, page)
	if err := img.PutPrefix6(netip.PrefixFrom(peerIP6, 120), len(img.Peers4)-1); err != nil {
		t.Fatal(err)
	}
	return img
}

// withoutPages has the peers, which are a network of IPv4 and an address of IPv6, in the hash tables.
func withoutPages(img *bpf.Image) *bpf.Image {
	img.Peers4[10].Slot[1] = uint16(bpf.PeerSparse)
	img.Nets = []bpf.Net{{Addr: bpf.Mapped(netip.MustParseAddr("10.1.0.0")), Bits: 96 + 16, Class: 1}}
	return img
}

// lastPacket asks about the pod of an image, whose peers may talk over port 80 both ways.
func lastPacket(t *testing.T, all *bpf.Image, peer, pod netip.Addr) {
	h := open(t, bpf.Options{})
	sync := func(img *bpf.Image) {
		t.Helper()
		if _, err := h.Sync(img); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []flow.Direction{flow.Ingress, flow.Egress} {
		// Many pods with one address, of which only one may talk: that happens for a moment when a pod is replaced.
		all.Pods = all.Pods[:1]
		for i := range variants {
			other := all.Pods[0]
			other.Ifindex, other.Sets[dir] = iface+1+uint32(i), bpf.SetClosed
			all.Pods = append(all.Pods, other)
		}
		sync(all)
		for _, p := range []flow.Protocol{flow.TCP, flow.UDP} {
			allowed := flow.Tuple{Src: peer, Dst: pod, Protocol: p, SrcPort: 4000, DstPort: 80}
			unequal := bpf.ReasonNoRule // where the source is another one
			if dir == flow.Egress {
				allowed.Src, allowed.Dst, unequal = pod, peer, bpf.ReasonSpoofed
			}
			ask := func(ifindex uint32, tuple flow.Tuple, want bpf.Reason) {
				t.Helper()
				got, err := h.Run(dir, ifindex, false, frame.New(tuple, frame.Later))
				if err != nil || got.Reason != want {
					t.Errorf("%s, interface %d, %+v: got %s (%v), want %s", dir, ifindex, tuple, got.Reason, err, want)
				}
			}
			// Each is sent right after the one that is allowed.
			others := func(want bpf.Reason, change func(n int, tuple *flow.Tuple) (ifindex uint32)) {
				t.Helper()
				for n := 1; n <= variants; n++ {
					ask(iface, allowed, bpf.ReasonPolicy)
					ask(iface, allowed, bpf.ReasonPolicy)
					tuple := allowed
					ask(change(n, &tuple), tuple, want)
				}
			}
			others(bpf.ReasonClosed, func(n int, _ *flow.Tuple) uint32 { return iface + uint32(n) })
			for at := range peer.BitLen()/8 - 2 { // of IPv4, the first two bytes are the allowed network
				others(unequal, func(n int, t *flow.Tuple) uint32 { t.Src = otherByte(t.Src, at, n); return iface })
				if dir == flow.Egress {
					others(bpf.ReasonNoRule, func(n int, t *flow.Tuple) uint32 { t.Dst = otherByte(t.Dst, at, n); return iface })
				}
			}
			others(bpf.ReasonNoRule, func(n int, t *flow.Tuple) uint32 { t.DstPort += uint16(n); return iface })
			// The pod is replaced by one that is not known yet: in the same epoch, its sets are void.
			ask(iface, allowed, bpf.ReasonPolicy)
			if err := h.Introduce(bpf.Pod{Ifindex: iface, Instance: 7, IP4: podIP, IP6: podIP6}); err != nil {
				t.Fatal(err)
			}
			ask(iface, allowed, bpf.ReasonNotIsolated)
			sync(all)
			// The pod goes, also in the same epoch.
			ask(iface, allowed, bpf.ReasonPolicy)
			epoch, alone := h.Epoch(), *all
			alone.Pods = all.Pods[1:]
			sync(&alone)
			if h.Epoch() != epoch {
				t.Fatal("the tables were written although no rule has changed")
			}
			ask(iface, allowed, bpf.ReasonUnknownPodOpen)
			sync(all)
		}
	}
}

// TestLastPacketOfAnotherFamily: an IPv6 packet whose source begins as the words of an IPv4 one, and whose first header has the number 0,
// is not taken for that, even if the rest of its addresses is what an IPv6 packet has left in the entry, of which IPv4 needs less.
func TestLastPacketOfAnotherFamily(t *testing.T) {
	needRoot(t)
	onecpu.ForTest(t) // each CPU has its own entries
	h := open(t, bpf.Options{})
	run := func(f []byte) bpf.Reason {
		t.Helper()
		got, err := h.Run(flow.Ingress, iface, false, f)
		if err != nil {
			t.Fatal(err)
		}
		return got.Reason
	}
	sync := func(img *bpf.Image) {
		t.Helper()
		if _, err := h.Sync(img); err != nil {
			t.Fatal(err)
		}
	}
	sync(img("open", "open"))
	for n := range variants {
		run(frame.New(flow.Tuple{
			Src: otherByte(peerIP6, 14, n), Dst: podIP6, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80,
		}, frame.Later))
	}
	sync(img("open", "peer:80"))
	for n := range variants {
		peer4 := otherByte(peerIP, 3, n)
		for range 2 {
			known := frame.New(flow.Tuple{Src: peer4, Dst: podIP, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}, frame.Later)
			if got := run(known); got != bpf.ReasonPolicy {
				t.Fatalf("from %s: %s", peer4, got)
			}
		}
		forged := frame.New(flow.Tuple{Src: peerIP6, Dst: podIP6, Protocol: flow.UDP, SrcPort: 17 << 8, DstPort: 80}, frame.Later)
		forged = append(forged, make([]byte, 32)...)
		const ip6 = 14
		forged[ip6+5] += 32 // bytes behind the header
		forged[ip6+6] = 0   // hop-by-hop options, of 8 bytes; what follows them is UDP
		source := forged[ip6+8 : ip6+24]
		clear(source)
		source[1] = byte(flow.TCP)
		copy(source[4:], peer4.AsSlice())
		copy(source[8:], podIP.AsSlice())
		if got := run(forged); got != bpf.ReasonNoRule {
			t.Fatalf("forged after %s: %s", peer4, got)
		}
	}
}

// TestLastPacketFromTheNode: what a process of the node sends is not policed, also between the ends of a flow that is.
func TestLastPacketFromTheNode(t *testing.T) {
	needRoot(t)
	h := open(t, bpf.Options{})
	k := &kernel{h, 1}
	if err := k.load(withPage6(t, img("open", "peer:80"))); err != nil {
		t.Fatal(err)
	}
	for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
		policed := in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonPolicy)
		fromNode := node(in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonFromNode))
		playSteps(t, k, []step{policed, policed, fromNode, policed}, addrs[0], addrs[1])
	}
}

// TestLastPacketOfAnotherProtocol: what is allowed by TCP is not by UDP, and the other way round.
func TestLastPacketOfAnotherProtocol(t *testing.T) {
	needRoot(t)
	onecpu.ForTest(t)
	h := open(t, bpf.Options{})
	protocols := [2]flow.Protocol{flow.TCP, flow.UDP}
	for i, shift := range []int{bpf.PortsTCPShift, bpf.PortsUDPShift} {
		one := withPage6(t, img("open", "peer:80"))
		one.Rows[1].Ports[1] = bpf.PortsFirst << shift
		if _, err := h.Sync(one); err != nil {
			t.Fatal(err)
		}
		for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
			allowed := in(protocols[i], frame.Later, 80, 5000, bpf.ReasonPolicy)
			playSteps(t, &kernel{h, 1}, []step{
				allowed, allowed, in(protocols[1-i], frame.Later, 80, 5000, bpf.ReasonNoRule), allowed,
			}, addrs[0], addrs[1])
		}
	}
}

// TestLastPacketOpensNoOtherFlow: a packet of UDP may open a flow, which has to be remembered even if nothing but the source port
// differs from the last one. The answers of one flow are not those of another one.
func TestLastPacketOpensNoOtherFlow(t *testing.T) {
	needRoot(t)
	for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
		h := open(t, bpf.Options{})
		k := &kernel{h, 1}
		if err := k.load(withPage6(t, img("closed", "peer:80"))); err != nil {
			t.Fatal(err)
		}
		question := func(port uint16) step { return in(flow.UDP, frame.Later, 80, port, bpf.ReasonPolicy) }
		answer := func(port uint16, want bpf.Reason) step { return out(flow.UDP, frame.Later, 80, port, want) }
		playSteps(t, k, []step{question(5000), question(5000), answer(5000, bpf.ReasonReply), answer(5000, bpf.ReasonReply)}, addrs[0], addrs[1])
		for port := uint16(5001); port <= 5000+variants; port++ {
			playSteps(t, k, []step{
				question(5000), answer(port, bpf.ReasonClosed), question(port), answer(port, bpf.ReasonReply), answer(5000, bpf.ReasonReply),
			}, addrs[0], addrs[1])
		}
		// From another port of the pod, nobody has asked.
		playSteps(t, k, []step{out(flow.UDP, frame.Later, 81, 5000, bpf.ReasonClosed)}, addrs[0], addrs[1])
	}
}

// otherByte returns an address that differs in one byte only, by some of its bits.
func otherByte(a netip.Addr, at, bits int) netip.Addr {
	bytes := a.AsSlice()
	bytes[at] ^= byte(bits)
	other, _ := netip.AddrFromSlice(bytes)
	return other
}
