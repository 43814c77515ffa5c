package main

import (
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/address"
)

// scaleCase is what a node has to enforce, and packets whose verdict follows from how it was made.
type scaleCase struct {
	name string
	// capacity is that of the tables; where it says nothing of Hosts, those grow.
	capacity bpf.Capacity
	// make returns the input with so many peers more than the case has.
	make    func(more int) enforce.Input
	samples func() []sample
}

// sample is the first packet of a flow with a pod.
type sample struct {
	pod     int // index of enforce.Input.Pods
	dir     flow.Direction
	peer    netip.Addr
	port    uint16
	allowed bool
}

const (
	million   = 1_000_000
	blocks    = 100_000
	ranges    = 10_000
	pods      = 500
	perObject = 1000 // rules in a PolicyEndpoint, as a controller cuts them
	sampled   = 2000 // peers of a case
	web       = 80
)

// cases are the cases, each so many times smaller than it could be.
func cases(part int) []scaleCase {
	count := pods / min(part, 10)
	first6 := netip.MustParseAddr("fd00:64::")
	return []scaleCase{
		peerCase("a million peers, side by side", bpf.Capacity{}, million/part, 1, v4(10, 64, 0, 0)),
		peerCase("a million peers, each in a network of its own", bpf.Capacity{}, million/part, 2111, v4(1, 0, 0, 0)),
		peerCase("a million peers, side by side, IPv6", bpf.Capacity{}, million/part, 1, first6),
		peerCase("a million peers, each in a network of its own, IPv6", bpf.Capacity{}, million/part, 2111, first6),
		blockCase("a hundred thousand blocks", blocks/part),
		portCase("ten thousand ranges of ports of one peer", ranges/part),
		ownPortCase("ten thousand peers, each with a range of its own", ranges/part),
		podCase("five hundred pods of one policy", count, 0, false, false),
		podCase("five hundred pods, each with a policy of its own", count, 1, true, false),
		podCase("five hundred pods, each with policies of its own both ways", count, 1, true, true),
		podCase("five hundred pods, each with twenty peers of its own under four rules", count, 20, true, false),
		podCase("the same, both ways", count, 20, true, true),
	}
}

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

func nth(a netip.Addr, n int) netip.Addr { return address.Nth(a, uint64(n), 0) }

// node has so many pods, of both families.
func node(count int) enforce.Input {
	in := enforce.Input{NodeAddrs: []netip.Addr{v4(192, 0, 2, 1)}}
	for i := range count {
		in.Pods = append(in.Pods, enforce.Pod{
			Namespace: "scale", Name: "pod-" + strconv.Itoa(i), Ifindex: uint32(10 + i), Instance: uint32(1 + i),
			Addrs: []netip.Addr{nth(v4(100, 64, 0, 1), i), nth(netip.MustParseAddr("fd00:1::1"), i)},
		})
	}
	return in
}

// policy is one that isolates pods in a direction, in as many objects as it needs.
func policy(name string, dir networkingv1.PolicyType, chosen []enforce.Pod, rules []v1alpha1.EndpointInfo,
) []*v1alpha1.PolicyEndpoint {
	var list []*v1alpha1.PolicyEndpoint
	for first := 0; first == 0 || first < len(rules); first += perObject {
		pe := &v1alpha1.PolicyEndpoint{
			ObjectMeta: metav1.ObjectMeta{Namespace: "scale", Name: name + "-" + strconv.Itoa(first)},
			Spec: v1alpha1.PolicyEndpointSpec{
				PolicyRef:    v1alpha1.PolicyReference{Namespace: "scale", Name: name},
				PodIsolation: []networkingv1.PolicyType{dir},
			},
		}
		for _, p := range chosen {
			pe.Spec.PodSelectorEndpoints = append(pe.Spec.PodSelectorEndpoints, v1alpha1.PodEndpoint{
				Namespace: p.Namespace, Name: p.Name, PodIP: v1alpha1.NetworkAddress(p.Addrs[0].String()),
			})
		}
		some := rules[first:min(first+perObject, len(rules))]
		if dir == networkingv1.PolicyTypeIngress {
			pe.Spec.Ingress = some
		} else {
			pe.Spec.Egress = some
		}
		list = append(list, pe)
	}
	return list
}

// rule allows a peer ports from first to last.
func rule(peer fmt.Stringer, first, last int32) v1alpha1.EndpointInfo {
	tcp := corev1.ProtocolTCP
	p := v1alpha1.Port{Protocol: &tcp, Port: &first}
	if last != first {
		p.EndPort = &last
	}
	return v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(peer.String()), Ports: []v1alpha1.Port{p}}
}

// spread yields about sampled numbers below n, the first and the last among them.
func spread(n int) (list []int) {
	for i := 0; i < n; i += max(1, n/sampled) {
		list = append(list, i)
	}
	return append(list, n-1)
}
