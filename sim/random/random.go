// Package random draws small clusters that are dense in what implementations get wrong: overlapping selectors and
// blocks, exceptions, named ports that mean different numbers, ranges that touch, both families. What it draws is
// always valid, and shrinks towards the empty cluster.
package random

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// The vocabulary is small on purpose: selectors shall match, and blocks overlap.
var (
	keys      = []string{"app", "tier"}
	values    = []string{"", "a", "b"}
	portNames = []string{"web", "dns"}
	protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	ports     = []int32{1, 53, 79, 80, 81, 255, 256, 443, 8080, 65535}
)

// Blocks that contain pods, nodes and outside addresses in many ways, each with prefixes that lie in it.
var blocks = []struct {
	cidr   string
	within []string
}{
	{"0.0.0.0/0", []string{"10.0.0.0/8", "10.1.0.0/24", "192.0.2.0/24", "10.1.0.2/32"}},
	{"10.0.0.0/8", []string{"10.1.0.0/16", "10.1.0.0/30", "10.1.0.3/32", "10.0.0.0/9"}},
	{"10.1.0.0/24", []string{"10.1.0.0/29", "10.1.0.2/31", "10.1.0.1/32"}},
	{"10.1.0.0/30", []string{"10.1.0.0/31", "10.1.0.2/32"}},
	{"10.1.0.2/32", nil},
	{"192.0.2.0/25", []string{"192.0.2.0/26", "192.0.2.7/32"}},
	{"::/0", []string{"fd00::/16", "fd00:1::/64", "2001:db8::/32", "fd00:1::2/128"}},
	{"fd00:1::/64", []string{"fd00:1::/126", "fd00:1::2/127", "fd00:1::1/128"}},
	{"fd00:1::2/128", nil},
	{"2001:db8::/33", []string{"2001:db8::/64", "2001:db8::7/128"}},
}

// Outside returns addresses that are no pod's and no node's, inside and outside of the blocks.
func Outside() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.1.0.200"), netip.MustParseAddr("203.0.113.9"),
		netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("fd00:1::99"), netip.MustParseAddr("2001:4860::1"),
	}
}

// Probes returns ports that distinguish what the drawn policies can say.
func Probes() []flow.PortProto {
	var probes []flow.PortProto
	for _, proto := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
		for _, port := range ports {
			probes = append(probes, flow.PortProto{Protocol: proto, Port: uint16(port)})
		}
	}
	return probes
}

// Cluster draws a cluster of one or two nodes, up to three namespaces, six pods and five policies.
func Cluster(t *rapid.T) *model.Cluster {
	c := &model.Cluster{}
	for i := range rapid.IntRange(1, 2).Draw(t, "nodes") {
		c.Nodes = append(c.Nodes, node(i))
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "namespaces") {
		name := fmt.Sprintf("ns%d", i)
		labels := labelSet().Draw(t, name)
		labels[corev1.LabelMetadataName] = name
		c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	for i := range rapid.IntRange(2, 6).Draw(t, "pods") {
		c.Pods = append(c.Pods, pod(t, c, i))
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "policies") {
		c.Policies = append(c.Policies, policy(t, c, i))
	}
	return c
}

func node(i int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node%d", i)},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.0.%d", i+1)},
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00::%d", i+1)},
		}},
	}
}

func pod(t *rapid.T, c *model.Cluster, i int) *corev1.Pod {
	name := fmt.Sprintf("p%d", i)
	node := rapid.SampledFrom(c.Nodes).Draw(t, name+" node")
	v4, v6 := corev1.PodIP{IP: fmt.Sprintf("10.1.0.%d", i)}, corev1.PodIP{IP: fmt.Sprintf("fd00:1::%x", i)}
	ips := rapid.SampledFrom([][]corev1.PodIP{{v4}, {v6}, {v4, v6}, {v6, v4}}).Draw(t, name+" addresses")
	var hostIPs []corev1.HostIP
	for _, a := range node.Status.Addresses {
		hostIPs = append(hostIPs, corev1.HostIP{IP: a.Address})
	}
	container := corev1.Container{Name: "c", Image: "none"}
	for _, portName := range portNames {
		if rapid.Bool().Draw(t, name+" declares "+portName) {
			container.Ports = append(container.Ports, corev1.ContainerPort{
				Name:          portName,
				Protocol:      rapid.SampledFrom(protocols).Draw(t, "protocol"),
				ContainerPort: rapid.SampledFrom(ports).Draw(t, "port"),
			})
		}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID("uid-" + name), Labels: labelSet().Draw(t, name+" labels"),
			Namespace: rapid.SampledFrom(c.Namespaces).Draw(t, name+" namespace").Name,
		},
		Spec:   corev1.PodSpec{NodeName: node.Name, Containers: []corev1.Container{container}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ips[0].IP, PodIPs: ips, HostIP: hostIPs[0].IP, HostIPs: hostIPs},
	}
}

func labelSet() *rapid.Generator[map[string]string] {
	return rapid.MapOfN(rapid.SampledFrom(keys), rapid.SampledFrom(values), 0, len(keys))
}

func policy(t *rapid.T, c *model.Cluster, i int) *networkingv1.NetworkPolicy {
	name := fmt.Sprintf("np%d", i)
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: rapid.SampledFrom(c.Namespaces).Draw(t, name+" namespace").Name, UID: types.UID("uid-" + name),
	}}
	np.Spec.PodSelector = *selector(c).Draw(t, name+" subject")
	np.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{
		nil, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"},
	}).Draw(t, name+" types")
	for range rapid.IntRange(0, 3).Draw(t, name+" ingress rules") {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers(t, c), Ports: rulePorts(t)})
	}
	for range rapid.IntRange(0, 3).Draw(t, name+" egress rules") {
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers(t, c), Ports: rulePorts(t)})
	}
	return np
}

func selector(c *model.Cluster) *rapid.Generator[*metav1.LabelSelector] {
	return rapid.Custom(func(t *rapid.T) *metav1.LabelSelector {
		s := &metav1.LabelSelector{}
		if rapid.Bool().Draw(t, "matchLabels") {
			s.MatchLabels = labelSet().Draw(t, "labels")
		}
		if rapid.Bool().Draw(t, "matchExpressions") {
			r := metav1.LabelSelectorRequirement{
				Key: rapid.SampledFrom(append([]string{corev1.LabelMetadataName}, keys...)).Draw(t, "key"),
				Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{
					metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists,
					metav1.LabelSelectorOpDoesNotExist,
				}).Draw(t, "operator"),
			}
			if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
				r.Values = rapid.SliceOfN(rapid.SampledFrom(append([]string{c.Namespaces[0].Name}, values...)), 1, 2).
					Draw(t, "values")
			}
			s.MatchExpressions = []metav1.LabelSelectorRequirement{r}
		}
		return s
	})
}

func peers(t *rapid.T, c *model.Cluster) []networkingv1.NetworkPolicyPeer {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) networkingv1.NetworkPolicyPeer {
		switch rapid.IntRange(0, 3).Draw(t, "peer") {
		case 0:
			return networkingv1.NetworkPolicyPeer{PodSelector: selector(c).Draw(t, "podSelector")}
		case 1:
			return networkingv1.NetworkPolicyPeer{NamespaceSelector: selector(c).Draw(t, "namespaceSelector")}
		case 2:
			return networkingv1.NetworkPolicyPeer{
				PodSelector: selector(c).Draw(t, "podSelector"), NamespaceSelector: selector(c).Draw(t, "namespaceSelector"),
			}
		}
		b := rapid.SampledFrom(blocks).Draw(t, "ipBlock")
		block := &networkingv1.IPBlock{CIDR: b.cidr}
		if len(b.within) > 0 {
			block.Except = rapid.SliceOfN(rapid.SampledFrom(b.within), 0, 2).Draw(t, "except")
		}
		return networkingv1.NetworkPolicyPeer{IPBlock: block}
	}), 0, 3).Draw(t, "peers")
}

func rulePorts(t *rapid.T) []networkingv1.NetworkPolicyPort {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) networkingv1.NetworkPolicyPort {
		p := networkingv1.NetworkPolicyPort{}
		if rapid.Bool().Draw(t, "with protocol") {
			p.Protocol = ptr.To(rapid.SampledFrom(protocols).Draw(t, "protocol"))
		}
		switch rapid.IntRange(0, 3).Draw(t, "port") {
		case 0:
			p.Port = ptr.To(intstr.FromInt32(rapid.SampledFrom(ports).Draw(t, "number")))
		case 1:
			first := rapid.SampledFrom(ports).Draw(t, "first")
			p.Port = ptr.To(intstr.FromInt32(first))
			p.EndPort = ptr.To(max(first, rapid.SampledFrom(ports).Draw(t, "last")))
		case 2:
			p.Port = ptr.To(intstr.FromString(rapid.SampledFrom(portNames).Draw(t, "name")))
		}
		return p
	}), 0, 3).Draw(t, "ports")
}
