package update

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
)

// Pods and peers begin at these addresses.
var (
	firstPod  = netip.MustParseAddr("10.0.0.1")
	firstPeer = netip.MustParseAddr("10.64.0.0")
)

// ruleCount is that of a large policy, which says so many different things.
const ruleCount = 10_000

// input is a node with pods, each isolated in both directions by the one policy with these ingress rules.
func input(pods int, rules []v1alpha1.EndpointInfo) enforce.Input {
	pe := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "bench"}}
	pe.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "bench", Name: "bench"}
	pe.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	pe.Spec.Ingress = rules
	in := enforce.Input{Endpoints: []*v1alpha1.PolicyEndpoint{pe}}
	for i, a := range sequence(firstPod, pods) {
		name := "pod-" + strconv.Itoa(i)
		in.Pods = append(in.Pods, enforce.Pod{
			Namespace: "bench", Name: name, UID: name, Addrs: []netip.Addr{a}, Ifindex: uint32(i + 10),
		})
		pe.Spec.PodSelectorEndpoints = append(pe.Spec.PodSelectorEndpoints,
			v1alpha1.PodEndpoint{Namespace: "bench", Name: name, PodIP: v1alpha1.NetworkAddress(a.String())})
	}
	return in
}

// sequence are n addresses, one after the other.
func sequence(a netip.Addr, n int) []netip.Addr {
	list := make([]netip.Addr, n)
	for i := range list {
		list[i], a = a, a.Next()
	}
	return list
}

// peers are n addresses that may reach the same port.
func peers(n int) []v1alpha1.EndpointInfo {
	web := ports(80)
	list := make([]v1alpha1.EndpointInfo, n)
	for i, a := range sequence(firstPeer, n) {
		list[i] = v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(a.String()), Ports: web}
	}
	return list
}

// rules are n rules, no two of which say the same: each allows an address of its own, which no other rule names, one of
// a hundred ports, which begin at a port.
func rules(n int, port int32) []v1alpha1.EndpointInfo {
	list := peers(n)
	for i := range list {
		list[i].Ports = ports(port + int32(i%100))
	}
	return list
}

func ports(p int32) []v1alpha1.Port {
	tcp := corev1.ProtocolTCP
	return []v1alpha1.Port{{Protocol: &tcp, Port: &p}}
}

// compile builds the tables, all of which must be as the policies say.
func compile(in enforce.Input) (*bpf.Image, error) {
	built, err := enforce.Build(in, bpf.Capacity{})
	if err != nil {
		return nil, err
	}
	if len(built.Conditions) > 0 {
		return nil, fmt.Errorf("closed: %+v", built.Conditions)
	}
	return built.Image, nil
}
