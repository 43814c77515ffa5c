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
	"github.com/palisade-netpol/palisade/controller/resolve"
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
	pe := part(0, rules)
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

// part is one of the objects of the policy.
func part(number int, rules []v1alpha1.EndpointInfo) *v1alpha1.PolicyEndpoint {
	pe := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "bench-" + strconv.Itoa(number)}}
	pe.Spec = v1alpha1.PolicyEndpointSpec{
		PolicyRef:    v1alpha1.PolicyReference{Namespace: "bench", Name: "bench"},
		PodIsolation: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress:      rules,
	}
	return pe
}

// parts are the objects of a policy with many rules as an agent has them, that is with those objects new that have others.
type parts struct {
	input enforce.Input // of no rules
	rules []v1alpha1.EndpointInfo
	last  map[int]*v1alpha1.PolicyEndpoint
}

func newParts(pods int, rules []v1alpha1.EndpointInfo) *parts {
	p := &parts{input: input(pods, nil), rules: rules}
	p.input.Memory = &enforce.Memory{}
	return p
}

// between is the input with the rules from first until end.
func (p *parts) between(first, end int) enforce.Input {
	in, made := p.input, map[int]*v1alpha1.PolicyEndpoint{}
	for begin := first; begin < end; {
		number := begin/resolve.DefaultChunkSize + 1
		stop := min(end, number*resolve.DefaultChunkSize)
		if made[number] = p.last[number]; made[number] == nil || !sameSlice(made[number].Spec.Ingress, p.rules[begin:stop]) {
			made[number] = part(number, p.rules[begin:stop])
		}
		in.Endpoints = append(in.Endpoints[:len(in.Endpoints):len(in.Endpoints)], made[number])
		begin = stop
	}
	p.last = made
	return in
}

// sameSlice says whether two slices that are not empty are the same part of the same array.
func sameSlice[T any](a, b []T) bool { return len(a) == len(b) && &a[0] == &b[0] }

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
