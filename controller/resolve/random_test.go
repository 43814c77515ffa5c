package resolve

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// Random clusters, small enough that everything meets everything else.

var (
	anyProtocol = rapid.SampledFrom([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP})
	anyNumber   = rapid.SampledFrom([]int32{53, 80, 81, 8080, 8081})
	anyName     = rapid.SampledFrom([]string{"http", "dns"})
	anyValue    = rapid.SampledFrom([]string{"a", "b"})
	anyHome     = rapid.SampledFrom([]string{"x", "y", "z"})
	anyBlock    = rapid.SampledFrom([]networkingv1.IPBlock{
		{CIDR: "0.0.0.0/0"}, {CIDR: "::/0"}, {CIDR: "10.0.0.0/24", Except: []string{"10.0.0.2/31", "10.0.0.2/32"}},
		{CIDR: "10.0.0.0/30"}, {CIDR: "fd00::/16", Except: []string{"fd00::4/126"}}, {CIDR: "10.0.0.3/32"},
		{CIDR: "172.20.0.0/16"}, {CIDR: "172.20.0.1/32"}, {CIDR: "fd00:20::2/128"}, {CIDR: "192.0.2.0/24"},
		{CIDR: "10.0.0.0/8", Except: []string{"10.0.0.0/29"}},
	})
)

func drawCluster(t *rapid.T) *Snapshot {
	s := &Snapshot{}
	for _, name := range []string{"x", "y", "z"} {
		l := map[string]string{corev1.LabelMetadataName: name}
		if rapid.Bool().Draw(t, "labelled") {
			l["team"] = anyValue.Draw(t, "team")
		}
		s.Namespaces = append(s.Namespaces, newNamespace(name, l))
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "pods") {
		s.Pods = append(s.Pods, drawPod(t, i+1))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "services") {
		service, slices := drawService(t, i+1, s.Pods)
		s.Services = append(s.Services, service)
		s.EndpointSlices = append(s.EndpointSlices, slices...)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "policies") {
		s.Policies = append(s.Policies, drawPolicy(t, i))
	}
	return s
}

func drawPod(t *rapid.T, i int) *corev1.Pod {
	ips := rapid.SampledFrom([]string{"10.0.0.%[1]d", "fd00::%[1]d", "10.0.0.%[1]d fd00::%[1]d"}).Draw(t, "ips")
	key := fmt.Sprintf("%s/pod-%d", anyHome.Draw(t, "home"), i)
	address := rapid.SampledFrom([]int{i, i, i, max(1, i-1)}).Draw(t, "address")
	p := newTestPod(key, fmt.Sprintf(ips, address), label("app", anyValue.Draw(t, "app")),
		created(int64(rapid.IntRange(0, 9).Draw(t, "age")*10+i)))
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		port(anyName.Draw(t, "name"), anyProtocol.Draw(t, "protocol"), anyNumber.Draw(t, "number"))(p)
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		hostNetwork(p)
	case 1:
		phase(corev1.PodSucceeded)(p)
	case 2:
		terminating(p)
	}
	return p
}

// drawService makes a Service of both families with one or two ports, and a slice per family that lists some of the
// addresses that pods may have, and says of some whose they are.
func drawService(t *rapid.T, i int, pods []*corev1.Pod) (*corev1.Service, []*discoveryv1.EndpointSlice) {
	key := fmt.Sprintf("%s/svc-%d", anyHome.Draw(t, "home"), i)
	s := service(key, fmt.Sprintf("172.20.0.%[1]d fd00:20::%[1]d", i), 80)
	s.Spec.Ports[0].Name = "one"
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "two", Port: 53, Protocol: corev1.ProtocolUDP})
	var all []*discoveryv1.EndpointSlice
	for _, form := range []string{"10.0.0.%d", "fd00::%d"} {
		ips := ""
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 3, rapid.ID).Draw(t, "backends") {
			ips += fmt.Sprintf(form+" ", n)
		}
		e := slice(key, ips, anyNumber.Draw(t, "target"))
		if rapid.Bool().Draw(t, "naming pods") {
			naming(e, pods...)
		}
		e.Name += fmt.Sprintf("-%d", len(all))
		e.Ports[0].Name = new("one")
		e.Ports = append(e.Ports, discoveryv1.EndpointPort{
			Name: new("two"), Protocol: new(corev1.ProtocolUDP), Port: new(anyNumber.Draw(t, "target")),
		})
		all = append(all, e)
	}
	return s, all
}

func drawPolicy(t *rapid.T, i int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: anyHome.Draw(t, "home"), Name: fmt.Sprintf("policy-%d", i), UID: types.UID(fmt.Sprint(i)),
	}}
	p.Spec.PodSelector = *drawSelector(t, "app")
	p.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{
		nil, {typeIngress}, {typeEgress}, {typeIngress, typeEgress},
	}).Draw(t, "types")
	for range rapid.IntRange(0, 3).Draw(t, "ingress") {
		rule := networkingv1.NetworkPolicyIngressRule{From: drawPeers(t), Ports: drawPorts(t)}
		p.Spec.Ingress = append(p.Spec.Ingress, rule)
	}
	for range rapid.IntRange(0, 3).Draw(t, "egress") {
		rule := networkingv1.NetworkPolicyEgressRule{To: drawPeers(t), Ports: drawPorts(t)}
		p.Spec.Egress = append(p.Spec.Egress, rule)
	}
	return p
}

func drawSelector(t *rapid.T, key string) *metav1.LabelSelector {
	value := anyValue.Draw(t, key)
	others := metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: []string{value}}
	return rapid.SampledFrom([]*metav1.LabelSelector{
		{},
		{MatchLabels: map[string]string{key: value}},
		{MatchExpressions: []metav1.LabelSelectorRequirement{others}},
	}).Draw(t, "selector")
}

func drawPeers(t *rapid.T) []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for range rapid.IntRange(0, 3).Draw(t, "peers") {
		var p networkingv1.NetworkPolicyPeer
		switch rapid.IntRange(0, 3).Draw(t, "peer") {
		case 0:
			p.IPBlock = new(anyBlock.Draw(t, "block"))
		case 1:
			p.PodSelector = drawSelector(t, "app")
		case 2:
			p.NamespaceSelector = drawSelector(t, "team")
		case 3:
			p.PodSelector, p.NamespaceSelector = drawSelector(t, "app"), drawSelector(t, "team")
		}
		peers = append(peers, p)
	}
	return peers
}

func drawPorts(t *rapid.T) []networkingv1.NetworkPolicyPort {
	var ports []networkingv1.NetworkPolicyPort
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		var p networkingv1.NetworkPolicyPort
		if rapid.Bool().Draw(t, "with protocol") {
			p.Protocol = new(anyProtocol.Draw(t, "protocol"))
		}
		number := anyNumber.Draw(t, "number")
		switch rapid.IntRange(0, 3).Draw(t, "port") {
		case 1:
			p.Port = new(intstr.FromInt32(number))
		case 2:
			p.Port, p.EndPort = new(intstr.FromInt32(number)), new(number+int32(rapid.IntRange(0, 100).Draw(t, "range")))
		case 3:
			p.Port = new(intstr.FromString(anyName.Draw(t, "name")))
		}
		ports = append(ports, p)
	}
	return ports
}
