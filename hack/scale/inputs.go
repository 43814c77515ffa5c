package main

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// beside are two pods: the second one has a small policy of its own, which must go on whatever becomes of the first
// one's.
func beside(name string, rules []v1alpha1.EndpointInfo) enforce.Input {
	in := node(2)
	in.Endpoints = policy("large", networkingv1.PolicyTypeIngress, in.Pods[:1], rules)
	small := []v1alpha1.EndpointInfo{rule(bystander, web, web)}
	in.Endpoints = append(in.Endpoints, policy("small", networkingv1.PolicyTypeIngress, in.Pods[1:], small)...)
	return in
}

// bystander is the peer of the small policy.
var bystander = netip.MustParseAddr("203.0.113.7")

func withBystander(list []sample) []sample {
	return append(list, sample{1, flow.Ingress, bystander, web, true}, sample{1, flow.Ingress, bystander, web + 1, false},
		sample{0, flow.Ingress, bystander, web, false})
}

// peerCase allows addresses at a distance from each other.
func peerCase(name string, c bpf.Capacity, count, distance int, first netip.Addr) scaleCase {
	peer := func(i int) netip.Addr { return nth(first, i*distance) }
	return scaleCase{name: name, capacity: c,
		make: func(more int) enforce.Input {
			var rules []v1alpha1.EndpointInfo
			for i := range count + more {
				rules = append(rules, rule(peer(i), web, web))
			}
			return beside(name, rules)
		},
		samples: func() (list []sample) {
			for _, i := range spread(count) {
				list = append(list, sample{0, flow.Ingress, peer(i), web, true}, sample{0, flow.Ingress, peer(i), web + 1, false})
				if distance > 1 {
					list = append(list, sample{0, flow.Ingress, nth(peer(i), 1), web, false})
				}
			}
			return withBystander(append(list, sample{0, flow.Ingress, nth(peer(count-1), 1), web, false},
				sample{0, flow.Ingress, peer(0).Prev(), web, false}))
		},
	}
}

// blockCase allows blocks of 128 addresses at a distance of 4096, without a smaller one in each.
func blockCase(name string, count int) scaleCase {
	const distance = 4096
	first := v4(20, 0, 0, 0)
	block := func(i int) netip.Prefix { return netip.PrefixFrom(nth(first, i*distance), 25) }
	return scaleCase{name: name,
		make: func(more int) enforce.Input {
			var rules []v1alpha1.EndpointInfo
			for i := range count + more {
				r := rule(block(i), web, web)
				except := netip.PrefixFrom(nth(first, i*distance+64), 28)
				r.Except = []v1alpha1.NetworkAddress{v1alpha1.NetworkAddress(except.String())}
				rules = append(rules, r)
			}
			return beside(name, rules)
		},
		samples: func() (list []sample) {
			for _, i := range spread(count) {
				for at, allowed := range map[int]bool{0: true, 63: true, 64: false, 79: false, 80: true, 127: true, 128: false} {
					list = append(list, sample{0, flow.Ingress, nth(block(i).Addr(), at), web, allowed})
				}
			}
			return withBystander(list)
		},
	}
}

// rangeOf is three ports, about six after those before, so that no two parts of the tables are the same.
func rangeOf(i int) (first, last int32) {
	first = int32(1 + 6*i + i*i/7%3)
	return first, first + 2
}

func aroundRange(i int) map[uint16]bool {
	first, last := rangeOf(i)
	return map[uint16]bool{uint16(first - 1): false, uint16(first): true, uint16(last): true, uint16(last + 1): false}
}

// portCase allows one peer ranges of ports.
func portCase(name string, count int) scaleCase {
	peer := v4(10, 64, 0, 1)
	return scaleCase{name: name,
		make: func(more int) enforce.Input {
			all := rule(peer, 1, 3)
			for i := 1; i < count+more; i++ {
				first, last := rangeOf(i)
				all.Ports = append(all.Ports, rule(peer, first, last).Ports...)
			}
			return beside(name, []v1alpha1.EndpointInfo{all})
		},
		samples: func() (list []sample) {
			for _, i := range spread(count) {
				for port, allowed := range aroundRange(i) {
					list = append(list, sample{0, flow.Ingress, peer, port, allowed})
				}
			}
			return withBystander(list)
		},
	}
}

// ownPortCase allows peers a range of ports each, no two of them the same.
func ownPortCase(name string, count int) scaleCase {
	peer := func(i int) netip.Addr { return nth(v4(10, 64, 0, 0), i) }
	return scaleCase{name: name,
		make: func(more int) enforce.Input {
			var rules []v1alpha1.EndpointInfo
			for i := range count + more {
				first, last := rangeOf(i)
				rules = append(rules, rule(peer(i), first, last))
			}
			return beside(name, rules)
		},
		samples: func() (list []sample) {
			for _, i := range spread(count) {
				for port, allowed := range aroundRange(i) {
					list = append(list, sample{0, flow.Ingress, peer(i), port, allowed})
				}
			}
			return withBystander(list)
		},
	}
}

// podCase has pods that all have one policy with a thousand peers, and where own is set policies of their own with
// so many peers that no other one has; both ways, where both is set.
func podCase(name string, count, peers int, own, both bool) scaleCase {
	const shared = 1000
	common := func(i int) netip.Addr { return nth(v4(10, 64, 0, 0), i) }
	peer := func(pod, i int) netip.Addr { return nth(v4(10, 128, 0, 0), pod*peers+i) }
	port := func(i int) uint16 { return uint16(web + 1 + i%4) } // so that the peers of a pod are of four classes
	return scaleCase{name: name,
		make: func(more int) enforce.Input {
			in := node(count)
			var rules []v1alpha1.EndpointInfo
			for i := range shared + more {
				rules = append(rules, rule(common(i), web, web))
			}
			in.Endpoints = policy("common", networkingv1.PolicyTypeIngress, in.Pods, rules)
			for p := range in.Pods {
				rules := []v1alpha1.EndpointInfo{}
				for i := range peers {
					rules = append(rules, rule(peer(p, i), int32(port(i)), int32(port(i))))
				}
				for _, dir := range directions(own, both) {
					in.Endpoints = append(in.Endpoints, policy(fmt.Sprintf("own-%d-%s", p, dir), dir, in.Pods[p:p+1], rules)...)
				}
			}
			return in
		},
		samples: func() (list []sample) {
			for p := range count {
				list = append(list, sample{p, flow.Ingress, common(p * 2), web, true},
					sample{p, flow.Ingress, common(p * 2), web + 1, false})
				if own {
					other := (p + 1) % count
					list = append(list, sample{p, flow.Ingress, peer(p, peers-1), port(peers - 1), true},
						sample{p, flow.Ingress, peer(p, 0), web, false}, sample{p, flow.Ingress, peer(other, 0), web + 1, false})
				}
				list = append(list, sample{p, flow.Egress, peer(p, 0), web + 1, true},
					sample{p, flow.Egress, common(p), web, !both})
			}
			return list
		},
	}
}

func directions(own, both bool) []networkingv1.PolicyType {
	switch {
	case both:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	case own:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	}
	return nil
}
