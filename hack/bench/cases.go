package main

import (
	"cmp"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/bench"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/address"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// The pod sends to peers that begin at these addresses, whose last 25 bits vary; far from them no address is allowed.
var (
	podAddr  = [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	peerAddr = [2]netip.Addr{netip.MustParseAddr("64.0.0.0"), netip.MustParseAddr("fd00:0:0:64::")}
	farAddr  = [2]netip.Addr{netip.MustParseAddr("66.0.0.0"), netip.MustParseAddr("fd00:0:0:128::")}
)

// capacity has room for the flows of all cases, and for the peers that have no page.
var capacity = bpf.Capacity{Flows: 1 << 18, Hosts: 1 << 19}

const allowedPort, deniedPort = 1000, 999

// benchCase is one line of the table: packets of one kind, under one policy.
type benchCase struct {
	name    string
	v6      bool
	peers   int // addresses that the policy allows; 0: 1024
	apart   int // 2 to the power of this lie between a peer and the next one
	block   int // and in a peer, so that it is a CIDR
	ranges  int // port ranges that it allows; 0: 1
	vary    bench.Vary
	kind    frame.Kind
	to      [2]netip.Addr
	port    uint16
	replies bool // egress is closed, and the packets answer flows from outside
	room    int  // for flows; 0: for all
	untrack bool // flows are remembered only where the other direction is isolated
	want    bpf.Reason
}

func cases() []benchCase {
	var list []benchCase
	for _, v6 := range []bool{false, true} {
		list = append(list, familyCases(v6)...)
	}
	return list
}

func familyCases(v6 bool) []benchCase {
	family := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
	many, spread := bench.Vary{Flows: 65536, Peers: 131072}, bench.Vary{Flows: 65536, Peers: 1024}
	scan := bench.Vary{Peers: 1024}
	const sparse, half = 8, 7 // each peer in a network of 24 bits of its own, of which a CIDR is a half
	list := []benchCase{
		{name: "established, 1 flow", kind: frame.Later, port: allowedPort},
		{name: "established, 65,536 flows, 131,072 peers", peers: 131072, kind: frame.Later, port: allowedPort, vary: many},
		{name: "established, 1 flow, 131,072 sparse peers", peers: 131072, apart: sparse, to: last(131072, sparse), kind: frame.Later, port: allowedPort,
			want: bpf.ReasonPolicy},
		{name: "established, 65,536 flows, 131,072 sparse peers", peers: 131072, apart: sparse, kind: frame.Later, port: allowedPort, vary: many},
		{name: "established, 65,536 flows, 131,072 CIDRs", peers: 131072, apart: sparse, block: half, kind: frame.Later, port: allowedPort, vary: many},
		{name: "reply, 1 flow", kind: frame.Later, replies: true},
		{name: "reply, 65,536 flows", kind: frame.Later, replies: true, vary: spread},
		{name: "denied SYN, by address, 10 peers", peers: 10, to: farAddr, port: allowedPort, vary: scan},
		{name: "denied SYN, by address, 1,024 peers", to: farAddr, port: allowedPort, vary: scan},
		{name: "denied SYN, by address, 131,072 peers", peers: 131072, apart: 1, to: beside(0), port: allowedPort, vary: many},
		{name: "denied SYN, by address, 131,072 sparse peers", peers: 131072, apart: sparse, to: beside(0), port: allowedPort, vary: many},
		{name: "denied SYN, by address, 131,072 CIDRs", peers: 131072, apart: sparse, block: half, to: beside(half), port: allowedPort, vary: many},
		{name: "denied SYN, by port, 1,024 peers", port: deniedPort, vary: spread},
		{name: "denied SYN, by port, 131,072 peers", peers: 131072, port: deniedPort, vary: many},
		{name: "denied SYN, by port, 131,072 sparse peers", peers: 131072, apart: sparse, port: deniedPort, vary: many},
		{name: "denied SYN, by port, 24 ranges", ranges: 24, port: deniedPort, vary: spread},
		{name: "denied SYN, by port, 1,000 ranges", ranges: 1000, port: deniedPort, vary: spread},
		{name: "new flow, no state needed", port: allowedPort, untrack: true, vary: spread},
		{name: "new flow, with insert", port: allowedPort, vary: spread},
		{name: "new flow, into full places, 1 peer", port: allowedPort, room: 16384, vary: bench.Vary{Flows: 65536}},
		{name: "new flow, into full places, 1,024 peers", port: allowedPort, room: 16384, vary: spread},
	}
	for i := range list {
		c := &list[i]
		c.name, c.v6 = family+" "+c.name, v6
		c.peers, c.ranges = cmp.Or(c.peers, 1024), cmp.Or(c.ranges, 1)
		c.vary.Apart = c.apart
		if c.to == [2]netip.Addr{} {
			c.to = peerAddr
		}
		switch {
		case c.want != bpf.ReasonNone:
		case c.replies:
			c.want = bpf.ReasonReply
		case c.port == allowedPort && c.to == peerAddr:
			c.want = bpf.ReasonPolicy
		default:
			c.want = bpf.ReasonNoRule
		}
	}
	return list
}

// beside returns the addresses behind the first peers, which are blocks of 2 to the power of block addresses.
func beside(block int) [2]netip.Addr { return peersAfter(1, block) }

// last returns the last of so many peers. The first ones are in pages for as long as there are some.
func last(peers, apart int) [2]netip.Addr { return peersAfter(peers-1, apart) }

func peersAfter(n, apart int) [2]netip.Addr {
	return [2]netip.Addr{address.Nth(peerAddr[0], uint64(n), apart), address.Nth(peerAddr[1], uint64(n), apart)}
}

func (c *benchCase) family() int {
	if c.v6 {
		return 1
	}
	return 0
}

// image compiles the policy of the case for a pod at the interface of test runs.
func (c *benchCase) image() (*bpf.Image, error) {
	pe := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "bench-1"}}
	pe.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "bench", Name: "bench"}
	pe.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	pe.Spec.PodSelectorEndpoints = []v1alpha1.PodEndpoint{
		{Namespace: "bench", Name: "pod", PodIP: v1alpha1.NetworkAddress(podAddr[0].String())},
	}
	if !c.replies {
		ports, first := c.ports(), peerAddr[c.family()]
		for i := range c.peers {
			p := netip.PrefixFrom(address.Nth(first, uint64(i), c.apart), first.BitLen()-c.block)
			peer := v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(p.String()), Ports: ports}
			pe.Spec.Egress = append(pe.Spec.Egress, peer)
		}
	}
	built, err := enforce.Build(enforce.Input{
		Pods: []enforce.Pod{
			{Namespace: "bench", Name: "pod", UID: c.name, Addrs: podAddr[:], Ifindex: bench.Ifindex},
		},
		Endpoints: []*v1alpha1.PolicyEndpoint{pe},
	}, capacity)
	if err != nil {
		return nil, err
	}
	if len(built.Conditions) > 0 {
		return nil, fmt.Errorf("closed: %+v", built.Conditions)
	}
	return built.Image, nil
}

// ports returns ranges of two ports that contain allowedPort and not deniedPort.
func (c *benchCase) ports() []v1alpha1.Port {
	tcp := corev1.ProtocolTCP
	var list []v1alpha1.Port
	for i := range c.ranges {
		first, last := int32(allowedPort+8*i), int32(allowedPort+8*i+1)
		list = append(list, v1alpha1.Port{Protocol: &tcp, Port: &first, EndPort: &last})
	}
	return list
}

func (c *benchCase) tuple() flow.Tuple {
	family := c.family()
	return flow.Tuple{Src: podAddr[family], Dst: c.to[family], Protocol: flow.TCP, SrcPort: 1024, DstPort: c.port}
}
