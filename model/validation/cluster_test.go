package validation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/validation"
)

func pod(name string, ips ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name}}
	for _, ip := range ips {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	p.Status.PodIP = ips[0]
	return p
}

func hostPod(name, ip string) *corev1.Pod {
	p := pod(name, ip)
	p.Spec.HostNetwork = true
	return p
}

func ended(p *corev1.Pod) *corev1.Pod {
	p.Status.Phase = corev1.PodFailed
	return p
}

func node(name, ip string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: ip}, {Type: corev1.NodeExternalIP, Address: ip},
		},
	}}
}

func service(name, ip string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name},
		Spec: corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}}}
}

func TestCluster(t *testing.T) {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "a"}}
	elsewhere := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "y", Name: "a"}}
	nodes := []*corev1.Node{node("n", "192.168.0.1")}
	cases := []struct {
		name string
		c    model.Cluster
		want []string
	}{
		{"valid-neighbours", model.Cluster{Nodes: nodes, Pods: []*corev1.Pod{pod("a", "10.0.0.1", "fd00::1"),
			pod("b", "10.0.0.2", "fd00::2"), hostPod("c", "192.168.0.1"), hostPod("d", "192.168.0.1")},
			Services: []*corev1.Service{service("s", "None"), service("t", "None"), service("u", "10.96.0.1")}}, nil},
		{"valid-one-name-in-two-namespaces", model.Cluster{Policies: []*networkingv1.NetworkPolicy{policy, elsewhere}}, nil},
		{"65 valid-address-of-an-ended-pod", model.Cluster{Pods: []*corev1.Pod{ended(pod("a", "10.0.0.1")),
			pod("b", "10.0.0.1")}}, nil},
		{"one object twice", model.Cluster{Policies: []*networkingv1.NetworkPolicy{policy, policy}},
			[]string{`NetworkPolicy x/a: metadata.name: Duplicate value: "a"`}},
		{"two pods with one address", model.Cluster{Pods: []*corev1.Pod{pod("a", "10.0.0.1"), pod("b", "10.0.0.1")}},
			[]string{`Pod x/b: status.podIP: Invalid value: "10.0.0.1": is already the address of Pod x/a`}},
		{"two pods with one second address", model.Cluster{Pods: []*corev1.Pod{pod("a", "10.0.0.1", "fd00::1"),
			pod("b", "10.0.0.2", "fd00:0::1")}},
			[]string{`Pod x/b: status.podIPs[1].ip: Invalid value: "fd00:0::1": is already the address of Pod x/a`}},
		{"two pods with one address in two spellings", model.Cluster{Pods: []*corev1.Pod{pod("a", "10.0.0.1"),
			pod("b", "::ffff:10.0.0.1")}},
			[]string{`Pod x/b: status.podIP: Invalid value: "::ffff:10.0.0.1": is already the address of Pod x/a`}},
		{"a pod on the address of a node", model.Cluster{Nodes: nodes, Pods: []*corev1.Pod{pod("a", "192.168.0.1")}},
			[]string{`Pod x/a: status.podIP: Invalid value: "192.168.0.1": is already the address of Node n`}},
		{"a pod on the address of a hostNetwork pod", model.Cluster{Pods: []*corev1.Pod{pod("a", "192.168.0.1"),
			hostPod("h", "192.168.0.1")}},
			[]string{`Pod x/a: status.podIP: Invalid value: "192.168.0.1": is already the address of Pod x/h`}},
		{"two nodes with one address", model.Cluster{Nodes: []*corev1.Node{node("n", "192.168.0.1"),
			node("m", "192.168.0.1")}},
			[]string{`Node m: status.addresses[0].address: Invalid value: "192.168.0.1": is already the address of Node n`}},
		{"a Service on the address of a pod", model.Cluster{Pods: []*corev1.Pod{pod("a", "10.0.0.1")},
			Services: []*corev1.Service{service("s", "10.0.0.1")}}, []string{
			`Service x/s: spec.clusterIP: Invalid value: "10.0.0.1": is already the address of Pod x/a`,
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, err := range validation.Cluster(&tc.c) {
				got = append(got, err.Error())
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
