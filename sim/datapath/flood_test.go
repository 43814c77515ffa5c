package datapath_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/address"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// The pods of a flood: one opens flows without measure, one is sent them, the others keep what they have. All are
// isolated in both directions, one of which allows everything with the peer and the other nothing.
const (
	opener     = 0
	target     = 1
	quiet      = 2 // and those after it
	quietPods  = 5
	quietFlows = 200 // of each of them
	newest     = 1000
)

// flood is a node with these pods, seen through an address family.
type flood struct {
	t    *testing.T
	h    *bpf.Harness
	peer netip.Addr
	pods []bpf.Pod
	rng  *rand.Rand
}

func newFlood(t *testing.T, h *bpf.Harness, instance uint32, first, peer netip.Addr) *flood {
	f := &flood{t: t, h: h, peer: peer, rng: rand.New(rand.NewPCG(1, uint64(instance)))}
	i := img(somePorts, somePorts)
	i.Rows[1].Ports[1] = bpf.PortsAll
	i.Pods = nil
	for n, ip := uint32(0), first; n < quiet+quietPods; n, ip = n+1, ip.Next() {
		pod := bpf.Pod{Ifindex: iface + n, Instance: instance + n, Sets: [2]uint32{bpf.SetFirst, bpf.SetClosed}}
		if ip.Is4() {
			pod.IP4 = ip
		} else {
			pod.IP6 = ip
		}
		i.Pods = append(i.Pods, pod)
	}
	i.Pods[target].Sets = [2]uint32{flow.Egress: bpf.SetClosed, flow.Ingress: bpf.SetFirst}
	f.pods = i.Pods
	if _, err := h.Sync(i); err != nil {
		t.Fatal(err)
	}
	return f
}

// tuple is a flow that a pod opens to the peer, the n-th of a kind.
func (f *flood) tuple(pod, n int) flow.Tuple {
	src := f.pods[pod].IP4
	if f.peer.Is6() {
		src = f.pods[pod].IP6
	}
	t := flow.Tuple{Src: src, Dst: f.peer, Protocol: flow.TCP, SrcPort: uint16(1024 + n), DstPort: 443}
	if n%2 == 1 {
		t.Protocol = flow.UDP
	}
	return t
}

// expect sends a packet of a pod and says why it must pass.
func (f *flood) expect(pod int, dir flow.Direction, packet []byte, want bpf.Reason) bool {
	f.t.Helper()
	got, err := f.h.Run(dir, f.pods[pod].Ifindex, false, packet)
	if err != nil {
		f.t.Fatal(err)
	}
	return got.Reason == want
}

// open opens flows of a quiet pod, each answered once.
func (f *flood) open(pod int) {
	for n := range quietFlows {
		t := f.tuple(pod, n)
		if !f.expect(pod, flow.Egress, frame.New(t, frame.First), bpf.ReasonPolicy) ||
			!f.expect(pod, flow.Ingress, frame.New(t.Reply(), frame.Answer), bpf.ReasonReply) {
			f.t.Fatalf("pod %d cannot open flow %d", pod, n)
		}
	}
}

// run opens so many flows from the opener, and as many to the target, and returns the last ones of both.
func (f *flood) run(flows int) (opened, served []flow.Tuple) {
	for n := range flows {
		out, in := f.tuple(opener, 0), f.tuple(target, 0).Reply()
		out.SrcPort, out.DstPort = uint16(f.rng.Uint32()), uint16(f.rng.Uint32())
		in.SrcPort, in.DstPort = out.DstPort, out.SrcPort
		if !f.expect(opener, flow.Egress, frame.New(out, frame.First), bpf.ReasonPolicy) ||
			!f.expect(target, flow.Ingress, frame.New(in, frame.First), bpf.ReasonPolicy) {
			f.t.Fatalf("flow %d of the flood does not pass: %+v", n, out)
		}
		if n >= flows-newest {
			opened, served = append(opened, out), append(served, in)
		}
	}
	return opened, served
}

// keeps checks that the next answer to each of a pod's flows passes at once.
func (f *flood) keeps(flows []flow.Tuple, pod int, answers flow.Direction, what string) {
	f.t.Helper()
	lost := 0
	for _, t := range flows {
		if !f.expect(pod, answers, frame.New(t.Reply(), frame.Later), bpf.ReasonReply) {
			lost++
		}
	}
	if lost > 0 {
		f.t.Errorf("%s: %d of %d are lost", what, lost, len(flows))
	}
}

// TestFloodsPushOutTheirOwn: a pod that opens more than its share of the table of flows, or is made to, loses flows
// of its own and never one of another pod: the next answer to each of those passes at once, without healing. Its own
// newest flows work.
func TestFloodsPushOutTheirOwn(t *testing.T) {
	needRoot(t)
	h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 32 << 10}})
	// Half a million each: the table holds few of them in any case.
	flows := map[bool]int{false: 500_000, true: 100_000}[testing.Short()]
	for n, addrs := range [][2]netip.Addr{{podIP.Next().Next(), peerIP}, {podIP6.Next().Next(), peerIP6}} {
		t.Run(flow.FamilyOf(addrs[1]).String(), func(t *testing.T) {
			f := newFlood(t, h, uint32(1+100*n), addrs[0], addrs[1])
			for pod := quiet; pod < quiet+quietPods; pod++ {
				f.open(pod)
			}
			opened, served := f.run(flows / (1 + 3*n))
			for pod := quiet; pod < quiet+quietPods; pod++ {
				var kept []flow.Tuple
				for n := range quietFlows {
					kept = append(kept, f.tuple(pod, n))
				}
				f.keeps(kept, pod, flow.Ingress, fmt.Sprintf("flows of pod %d, to the floods of others", pod))
			}
			f.keeps(opened, opener, flow.Ingress, "the newest flows of the opener")
			f.keeps(served, target, flow.Egress, "the newest flows of the target")
		})
	}
}

// TestFloodsOfAPeerPushOutItsOwn: a pod that opens flows without measure to a server, from the same node or another one, pushes out
// none of those that the server has with others: the next answer to each of them passes at once. Its own newest flows work.
func TestFloodsOfAPeerPushOutItsOwn(t *testing.T) {
	needRoot(t)
	const server, hostile, flows = 0, 1, 150_000
	for _, addrs := range [][3]netip.Addr{{podIP, peerIP, peerIP.Next()}, {podIP6, peerIP6, peerIP6.Next()}} {
		for _, local := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, on the same node: %t", flow.FamilyOf(addrs[0]), local), func(t *testing.T) {
				// A place has far less of the quiet flows than a quarter, the share of each of two peers of each of two pods.
				h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 64 << 10}})
				i := img("closed", "peer:80")
				i.Rows[1].Ports[1] = bpf.PortsAll
				i.Hosts = nil
				for _, addr := range []netip.Addr{podIP6, peerIP6, peerIP6.Next()} {
					i.Hosts = append(i.Hosts, bpf.Host{Addr: bpf.Mapped(addr), Class: 1})
				}
				i.Pods = append(i.Pods, bpf.Pod{Ifindex: iface + 1, Instance: 2, IP4: peerIP.Next(), IP6: peerIP6.Next(),
					Sets: [2]uint32{bpf.SetFirst, bpf.SetClosed}})
				if _, err := h.Sync(i); err != nil {
					t.Fatal(err)
				}
				f := &flood{t: t, h: h, pods: i.Pods, rng: rand.New(rand.NewPCG(1, 1))}
				var kept, last []flow.Tuple
				for n := range quietFlows {
					k := flow.Tuple{Src: addrs[1], Dst: addrs[0], Protocol: flow.TCP, SrcPort: uint16(20000 + n), DstPort: 80}
					if n%2 == 1 {
						k.Protocol = flow.UDP
					}
					if !f.expect(server, flow.Ingress, frame.New(k, frame.First), bpf.ReasonPolicy) ||
						!f.expect(server, flow.Egress, frame.New(k.Reply(), frame.Answer), bpf.ReasonReply) {
						t.Fatalf("the server does not answer %+v", k)
					}
					kept = append(kept, k)
				}
				for n := range flows {
					k := flow.Tuple{Src: addrs[2], Dst: addrs[0], Protocol: flow.UDP, SrcPort: uint16(f.rng.Uint32()), DstPort: uint16(f.rng.Uint32())}
					if local && !f.expect(hostile, flow.Egress, frame.New(k, frame.First), bpf.ReasonPolicy) ||
						!f.expect(server, flow.Ingress, frame.New(k, frame.First), bpf.ReasonPolicy) {
						t.Fatalf("flow %d of the flood does not pass: %+v", n, k)
					}
					if n >= flows-newest {
						last = append(last, k)
					}
				}
				f.keeps(kept, server, flow.Egress, "flows of the server with another peer")
				f.keeps(last, server, flow.Egress, "the newest flows of the flood")
			})
		}
	}
}

// TestScansPushOutTheirOwn: a pod that opens a flow to each of many addresses pushes out its own, and none of other pods.
func TestScansPushOutTheirOwn(t *testing.T) {
	needRoot(t)
	const scanner, other, scanned = 0, 1, 100_000
	for _, addrs := range [][3]netip.Addr{{podIP, podIP.Next(), netip.MustParseAddr("10.1.128.0")}, {podIP6, podIP6.Next(), peerIP6}} {
		h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 16 << 10}})
		i := img("open", "closed")
		pod := i.Pods[0]
		pod.Ifindex, pod.Instance, pod.IP4, pod.IP6 = iface+1, 2, podIP.Next(), podIP6.Next()
		i.Pods = append(i.Pods, pod)
		if _, err := h.Sync(i); err != nil {
			t.Fatal(err)
		}
		f := &flood{t: t, h: h, pods: i.Pods}
		to := func(n int) netip.Addr { return address.Nth(addrs[2], uint64(n), 0) }
		opens := func(pod int, dst netip.Addr, port uint16) flow.Tuple {
			k := flow.Tuple{Src: addrs[pod], Dst: dst, Protocol: flow.TCP, SrcPort: port, DstPort: 443}
			if !f.expect(pod, flow.Egress, frame.New(k, frame.First), bpf.ReasonNotIsolated) {
				t.Fatalf("%+v does not pass", k)
			}
			return k
		}
		var kept, last []flow.Tuple
		for n := range quietFlows { // to one peer, and each to another one
			kept = append(kept, opens(other, to(n%2*n), uint16(20000+n)))
		}
		for n := range scanned {
			if k := opens(scanner, to(n), 1024); n >= scanned-newest {
				last = append(last, k)
			}
		}
		f.keeps(kept, other, flow.Ingress, fmt.Sprintf("%s: flows of a pod, to the scan of another one", flow.FamilyOf(addrs[0])))
		f.keeps(last, scanner, flow.Ingress, fmt.Sprintf("%s: the newest flows of the scanner", flow.FamilyOf(addrs[0])))
	}
}

// TestFlowsOfGonePodsGiveWay: in a table that is full of the flows of many pods which have gone, a new pod has all the room.
func TestFlowsOfGonePodsGiveWay(t *testing.T) {
	needRoot(t)
	const gone, theirs, own = 24, 100, 300 // 1,024 places for flows
	for _, first := range []uint32{iface, 1 << 23} {
		h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 1024}})
		for n, addrs := range [][2]netip.Addr{{podIP.Next().Next(), peerIP}, {podIP6.Next().Next(), peerIP6}} {
			i := img(somePorts, somePorts)
			i.Rows[1].Ports[1] = bpf.PortsAll
			f := &flood{t: t, h: h, peer: addrs[1]}
			pod := bpf.Pod{Sets: [2]uint32{bpf.SetFirst, bpf.SetClosed}, IP4: addrs[0]}
			if addrs[0].Is6() {
				pod.IP4, pod.IP6 = netip.Addr{}, addrs[0]
			}
			for pod.Ifindex = first; pod.Ifindex <= first+gone; pod.Ifindex++ {
				pod.Instance = uint32(100*n) + pod.Ifindex
				f.pods, i.Pods = []bpf.Pod{pod}, []bpf.Pod{pod} // the one before has gone
				if _, err := h.Sync(i); err != nil {
					t.Fatal(err)
				}
				flows := theirs
				if pod.Ifindex == first+gone {
					flows = own
					time.Sleep(20 * time.Millisecond) // the table knows what is older by the kernel's ticks
				}
				for n := range flows {
					f.expect(0, flow.Egress, frame.New(f.tuple(0, 2*n), frame.First), bpf.ReasonPolicy)
				}
			}
			var opened []flow.Tuple
			for n := range own {
				opened = append(opened, f.tuple(0, 2*n))
			}
			f.keeps(opened, 0, flow.Ingress, fmt.Sprintf("%s, interfaces from %d on: flows, to pods that have gone", flow.FamilyOf(addrs[1]), first))
		}
	}
}

// TestFragmentsPushOutTheirOwn: however many datagrams a pod begins, those of others are completed.
func TestFragmentsPushOutTheirOwn(t *testing.T) {
	needRoot(t)
	h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 4 << 10}})
	for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
		i := img("peer:80", "peer:80")
		flooder := i.Pods[0]
		flooder.Ifindex, flooder.Instance = iface+1, 2
		flooder.IP4, flooder.IP6 = podIP.Next().Next(), podIP6.Next().Next()
		i.Pods = append(i.Pods, flooder)
		if _, err := h.Sync(i); err != nil {
			t.Fatal(err)
		}
		flood := flow.Tuple{Src: flooder.IP4, Dst: addrs[1], Protocol: flow.UDP, SrcPort: 5000, DstPort: 80}
		if addrs[0].Is6() {
			flood.Src = flooder.IP6
		}
		whole := frame.New(flow.Tuple{Src: addrs[1], Dst: addrs[0], Protocol: flow.UDP, SrcPort: 5000, DstPort: 80}, frame.First)
		for try := range uint32(20) {
			first, later := frame.Fragment(whole, try, 24)
			if got, err := h.Run(flow.Ingress, iface, false, first); err != nil || got.Reason != bpf.ReasonPolicy {
				t.Fatalf("first fragment: %s (%v)", got.Reason, err)
			}
			for id := range uint32(10_000) {
				f, _ := frame.Fragment(frame.New(flood, frame.First), 1000+try*10_000+id, 24)
				if got, err := h.Run(flow.Egress, iface+1, false, f); err != nil || got.Reason != bpf.ReasonPolicy {
					t.Fatalf("the flood: %s (%v)", got.Reason, err)
				}
			}
			if got, err := h.Run(flow.Ingress, iface, false, later); err != nil || got.Reason != bpf.ReasonLaterFragment {
				t.Errorf("%s: later fragment after 10,000 datagrams of another pod: %s (%v)", flow.FamilyOf(addrs[0]), got.Reason, err)
			}
		}
	}
}

// TestDatagramsOfTwoHostsAreCompleted: as many as two hosts send at a time, in any order, do not push each other out.
func TestDatagramsOfTwoHostsAreCompleted(t *testing.T) {
	needRoot(t)
	h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: 4 << 10}})
	const together, rounds = 64, 50
	for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
		if _, err := h.Sync(img("closed", "peer:80")); err != nil {
			t.Fatal(err)
		}
		whole := frame.New(flow.Tuple{Src: addrs[1], Dst: addrs[0], Protocol: flow.UDP, SrcPort: 5000, DstPort: 80}, frame.First)
		lost := 0
		for round := range uint32(rounds) {
			var later [][]byte
			for n := range uint32(together) {
				first, second := frame.Fragment(whole, together*round+n, 24)
				if got, err := h.Run(flow.Ingress, iface, false, first); err != nil || got.Reason != bpf.ReasonPolicy {
					t.Fatalf("first fragment: %s (%v)", got.Reason, err)
				}
				later = append(later, second)
			}
			for _, f := range later {
				if got, err := h.Run(flow.Ingress, iface, false, f); err != nil || got.Reason != bpf.ReasonLaterFragment {
					lost++
				}
			}
			time.Sleep(20 * time.Millisecond) // the table knows what is older by the kernel's ticks
		}
		if lost > 0 {
			t.Errorf("%s: %d of %d datagrams were not completed, %d at a time", flow.FamilyOf(addrs[0]), lost, rounds*together, together)
		}
	}
}
