package veth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// peerCount is how many addresses the policy of each pod allows besides that of the other pod.
const peerCount = 1000

// isolation says how both pods are isolated.
type isolation uint8

const (
	// bothWays isolates both pods in both directions: a new flow is remembered at both, and answers pass by that.
	bothWays isolation = iota
	// oneWay isolates the sender on egress and the receiver on ingress, and flows of open directions are not
	// remembered.
	oneWay
)

// palisade is the datapath with both pods of the bed isolated.
func palisade(b *bed, mode hook.Mode, how isolation, final bool) (*filter, error) {
	dir, err := b.pins.Mkdir(fmt.Sprintf("palisade-%d-%d-%t", mode, how, final))
	if err != nil {
		return nil, err
	}
	node, err := bpf.Open(bpf.Options{Dir: dir, TrackIsolatedOnly: how == oneWay, FinalVerdict: final})
	if err != nil {
		return nil, err
	}
	b.defers(node.Close)
	if err := b.sync(node, how); err != nil {
		return nil, err
	}
	h := hook.Hooks{Node: node, Mode: mode}
	return &filter{
		install: func() error { return b.eachPod(h.Attach) },
		remove:  func() error { return errors.Join(b.eachPod(h.Detach), b.bare()) },
		decided: func() ([2]uint64, error) { return byPolicy(node) },
	}, nil
}

// sync makes the node enforce the policies of both pods.
func (b *bed) sync(node *bpf.Node, how isolation) error {
	image, err := b.image([2]*v1alpha1.PolicyEndpoint{policy(sender, how), policy(receiver, how)})
	if err == nil {
		_, err = node.Sync(image)
	}
	return err
}

// image is what the node has to hold for a policy of each pod.
func (b *bed) image(policies [2]*v1alpha1.PolicyEndpoint) (*bpf.Image, error) {
	in := enforce.Input{NodeAddrs: []netip.Addr{nodeAddr}, Endpoints: policies[:]}
	for i, p := range b.pods {
		in.Pods = append(in.Pods, enforce.Pod{
			Namespace: "bench", Name: podName(i), UID: strconv.Itoa(i), Addrs: podAddrs[i : i+1], Ifindex: uint32(p.Ifindex()),
		})
	}
	built, err := enforce.Build(in, bpf.Capacity{})
	if err != nil {
		return nil, err
	}
	if len(built.Conditions) > 0 {
		return nil, fmt.Errorf("closed: %+v", built.Conditions)
	}
	return built.Image, nil
}

func podName(pod int) string { return "pod-" + strconv.Itoa(pod) }

// policy lets the sender reach the receiver and many others, or the receiver be reached by the sender and many others.
func policy(pod int, how isolation) *v1alpha1.PolicyEndpoint {
	return isolated(pod, endpoints(append(others(peerCount), podAddrs[1-pod]), firstPort, portCount), how)
}

// isolated lets the sender reach some peers, or the receiver be reached by them, and nothing else.
func isolated(pod int, peers []v1alpha1.EndpointInfo, how isolation) *v1alpha1.PolicyEndpoint {
	name := podName(pod)
	pe := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: name}}
	pe.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "bench", Name: name}
	pe.Spec.PodSelectorEndpoints = []v1alpha1.PodEndpoint{
		{Namespace: "bench", Name: name, PodIP: v1alpha1.NetworkAddress(podAddrs[pod].String())},
	}
	ownWay := networkingv1.PolicyTypeEgress
	if pod == sender {
		pe.Spec.Egress = peers
	} else {
		ownWay, pe.Spec.Ingress = networkingv1.PolicyTypeIngress, peers
	}
	pe.Spec.PodIsolation = []networkingv1.PolicyType{ownWay}
	if how == bothWays {
		pe.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return pe
}

// endpoints are peers with the same range of ports, of TCP and UDP.
func endpoints(peers []netip.Addr, firstPort, count int32) (list []v1alpha1.EndpointInfo) {
	last := firstPort + count - 1
	var ports []v1alpha1.Port
	for _, p := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		ports = append(ports, v1alpha1.Port{Protocol: &p, Port: &firstPort, EndPort: &last})
	}
	for _, a := range peers {
		list = append(list, v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(a.String()), Ports: ports})
	}
	return list
}

// others are addresses of nobody.
func others(n int) []netip.Addr {
	list, a := make([]netip.Addr, n), netip.MustParseAddr("10.64.0.0")
	for i := range list {
		list[i], a = a, a.Next()
	}
	return list
}

// byPolicy is how many packets policy itself has let pass, by direction.
func byPolicy(node *bpf.Node) (packets [2]uint64, err error) {
	counters, err := node.Counters()
	for _, c := range counters {
		if c.Reason == bpf.ReasonPolicy {
			packets[c.Direction] += c.Packets
		}
	}
	return packets, err
}
