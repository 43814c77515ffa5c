package core_test

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

type endpoint = v1alpha1.PolicyEndpoint

var nodeAddrs = []netip.Addr{netip.MustParseAddr("10.0.0.1")}

// failer is a test or a step of a property.
type failer interface {
	Helper()
	Fatal(...any)
}

// addrOf is the address of pod-N.
func addrOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 0, byte(n)}) }

// linkOf is the interface of shop/pod-N.
func linkOf(n int) string {
	return core.VPCLinkName("eni", core.Name{Namespace: "shop", Name: fmt.Sprintf("pod-%d", n)})
}

// pods are shop/pod-N on this node.
func pods(numbers ...int) []v1alpha1.PodEndpoint {
	var list []v1alpha1.PodEndpoint
	for _, n := range numbers {
		list = append(list, v1alpha1.PodEndpoint{
			Namespace: "shop", Name: fmt.Sprintf("pod-%d", n), PodIP: v1alpha1.NetworkAddress(addrOf(n).String()),
			HostIP: "10.0.0.1",
		})
	}
	return list
}

// object is a PolicyEndpoint of policy shop/NAME that isolates the ingress of pods and allows it to peers.
func object(policy string, pods []v1alpha1.PodEndpoint, peers ...string) *endpoint {
	o := &endpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: policy + "-0"}}
	o.Spec = v1alpha1.PolicyEndpointSpec{
		PolicyRef:            v1alpha1.PolicyReference{Namespace: "shop", Name: policy},
		PodIsolation:         []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		PodSelectorEndpoints: pods,
	}
	for _, p := range peers {
		o.Spec.Ingress = append(o.Spec.Ingress, v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(p)})
	}
	return o
}

// marked numbers objects and marks them as a complete set.
func marked(objects ...*endpoint) []*endpoint {
	for i, o := range objects {
		o.Name = fmt.Sprintf("%s-%d", o.Spec.PolicyRef.Name, i)
	}
	if err := v1alpha1.MarkComplete(objects); err != nil {
		panic(err) // an object that is no JSON
	}
	return objects
}

// programOf returns what a program says of shop/pod-N, by its address.
func programOf(t failer, in enforce.Input, n int) *enforce.PodProgram {
	t.Helper()
	prog := enforce.Compile(in)
	for i := range prog.Pods {
		if len(prog.Pods[i].Addrs) > 0 && prog.Pods[i].Addrs[0] == addrOf(n) {
			return &prog.Pods[i]
		}
	}
	return nil
}

func isolated(t failer, in enforce.Input, n int) bool {
	t.Helper()
	p := programOf(t, in, n)
	return p != nil && p.Sets[flow.Ingress] != nil
}

// allows says whether shop/pod-N accepts a peer.
func allows(t failer, in enforce.Input, n int, peer string) bool {
	t.Helper()
	p := programOf(t, in, n)
	if p == nil || p.Sets[flow.Ingress] == nil {
		return true
	}
	for _, r := range p.Sets[flow.Ingress].Rules {
		if r.Peers.Contains(netip.MustParseAddr(peer)) {
			return true
		}
	}
	return false
}
