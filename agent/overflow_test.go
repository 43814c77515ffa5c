package agent

import (
	"net/netip"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// TestPodsThatDoNotFitAreCounted: two pods share sets of more IPv6 networks than there is room for, in both directions,
// one has a small set, and a condition of another kind, of an address that cannot be read, is none of theirs.
func TestPodsThatDoNotFitAreCounted(t *testing.T) {
	in := enforce.Input{}
	endpoint := func(policy string, cidrs []string, pods ...string) {
		o := &v1alpha1.PolicyEndpoint{}
		o.Namespace, o.Name = "shop", policy+"-0"
		o.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "shop", Name: policy}
		o.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		for _, c := range cidrs {
			o.Spec.Ingress = append(o.Spec.Ingress, v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(c)})
		}
		for _, p := range pods {
			addr := netip.AddrFrom4([4]byte{10, 1, 0, byte(len(in.Pods) + 1)})
			in.Pods = append(in.Pods, enforce.Pod{
				Namespace: "shop", Name: p, Ifindex: uint32(len(in.Pods) + 1), Addrs: []netip.Addr{addr},
			})
			o.Spec.PodSelectorEndpoints = append(o.Spec.PodSelectorEndpoints, v1alpha1.PodEndpoint{
				Namespace: "shop", Name: p, PodIP: v1alpha1.NetworkAddress(addr.String()), HostIP: "10.0.0.1",
			})
		}
		in.Endpoints = append(in.Endpoints, o)
	}
	var many []string
	for i := range 200 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 1: byte(i)}), 32).String())
	}
	endpoint("large", many, "a", "b")
	in.Endpoints[0].Spec.PodIsolation = append(in.Endpoints[0].Spec.PodIsolation, networkingv1.PolicyTypeEgress)
	in.Endpoints[0].Spec.Egress = in.Endpoints[0].Spec.Ingress
	endpoint("small", []string{"10.9.0.1"}, "c")
	endpoint("unreadable", []string{"10.9.0"}, "d")
	for _, c := range []struct {
		nets, want int
	}{{nets: 4096, want: 0}, {nets: 128, want: 2}} {
		built, err := enforce.Build(in, bpf.Capacity{Nets: c.nets})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, c := range built.Conditions {
			all = append(all, c.Object+": "+c.Message)
		}
		if got := overflowing(built); got != c.want || len(built.Program.Conditions) == 0 {
			t.Errorf("room for %d networks: %d pods do not fit, want %d; conditions:\n%s", c.nets, got, c.want, strings.Join(all, "\n"))
		}
	}
}
