package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
)

// Blocks that contain pods, nodes, Services and outside addresses in many ways, each with prefixes that lie in it.
var blocks = []struct {
	cidr   string
	within []string
}{
	{"0.0.0.0/0", []string{"10.0.0.0/8", "10.1.0.0/24", "192.0.2.0/24", "10.1.0.2/32"}},
	{"10.0.0.0/8", []string{"10.1.0.0/16", "10.1.0.0/30", "10.1.0.3/32", "10.0.0.0/9"}},
	{"10.1.0.0/24", []string{"10.1.0.0/29", "10.1.0.2/31", "10.1.0.1/32"}},
	{"10.1.0.0/30", []string{"10.1.0.0/31", "10.1.0.2/32"}},
	{"10.1.0.2/32", nil},
	{"10.0.0.0/30", []string{"10.0.0.1/32"}},
	{"10.0.0.2/32", nil},
	{"192.0.2.0/25", []string{"192.0.2.0/26", "192.0.2.7/32"}},
	{"::/0", []string{"fd00::/16", "fd00:1::/64", "2001:db8::/32", "fd00:1::2/128"}},
	{"fd00:1::/64", []string{"fd00:1::/126", "fd00:1::2/127", "fd00:1::1/128"}},
	{"fd00:1::2/128", nil},
	{"fd00::/126", []string{"fd00::2/128"}},
	{"2001:db8::/33", []string{"2001:db8::/64", "2001:db8::7/128"}},
}

// Policy draws policy number i.
func (d *Drawing) Policy(i int) *networkingv1.NetworkPolicy {
	name := fmt.Sprintf("np%d", i)
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: rapid.SampledFrom(d.homes).Draw(d.T, name+" namespace"), UID: types.UID("uid-" + name),
	}}
	np.Spec.PodSelector = *d.selector(name + " subject")
	np.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{
		nil, {}, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"},
	}).Draw(d.T, name+" types")
	for range rapid.IntRange(0, 3).Draw(d.T, name+" ingress rules") {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: d.Peers(), Ports: d.Ports()})
	}
	for range rapid.IntRange(0, 3).Draw(d.T, name+" egress rules") {
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: d.Peers(), Ports: d.Ports()})
	}
	return np
}

func (d *Drawing) selector(label string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	if rapid.Bool().Draw(d.T, label+" matchLabels") {
		s.MatchLabels = labelSet().Draw(d.T, "labels")
	}
	for range rapid.IntRange(0, 2).Draw(d.T, label+" matchExpressions") {
		s.MatchExpressions = append(s.MatchExpressions, d.requirement())
	}
	return s
}

func (d *Drawing) requirement() metav1.LabelSelectorRequirement {
	r := metav1.LabelSelectorRequirement{
		Key: rapid.SampledFrom(append([]string{corev1.LabelMetadataName}, keys...)).Draw(d.T, "key"),
		Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{
			metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists,
			metav1.LabelSelectorOpDoesNotExist,
		}).Draw(d.T, "operator"),
	}
	if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
		words := append([]string{d.homes[0], ghost}, values...)
		r.Values = rapid.SliceOfN(rapid.SampledFrom(words), 1, 2).Draw(d.T, "values")
	}
	return r
}

// Peers draws a "from" or "to" section, often an absent one.
func (d *Drawing) Peers() []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for range rapid.IntRange(0, 3).Draw(d.T, "peers") {
		peers = append(peers, d.Peer())
	}
	return peers
}

// Peer draws an element of "from" or "to".
func (d *Drawing) Peer() networkingv1.NetworkPolicyPeer {
	switch rapid.IntRange(0, 3).Draw(d.T, "peer") {
	case 0:
		return networkingv1.NetworkPolicyPeer{PodSelector: d.selector("podSelector")}
	case 1:
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: d.selector("namespaceSelector")}
	case 2:
		return networkingv1.NetworkPolicyPeer{
			PodSelector: d.selector("podSelector"), NamespaceSelector: d.selector("namespaceSelector"),
		}
	}
	b := rapid.SampledFrom(blocks).Draw(d.T, "ipBlock")
	block := &networkingv1.IPBlock{CIDR: b.cidr}
	if len(b.within) > 0 {
		block.Except = rapid.SliceOfN(rapid.SampledFrom(b.within), 0, 2).Draw(d.T, "except")
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: block}
}

// Ports draws a "ports" section, often an absent one.
func (d *Drawing) Ports() []networkingv1.NetworkPolicyPort {
	var list []networkingv1.NetworkPolicyPort
	for range rapid.IntRange(0, 3).Draw(d.T, "ports") {
		list = append(list, d.Port())
	}
	return list
}

// Port draws an element of "ports".
func (d *Drawing) Port() networkingv1.NetworkPolicyPort {
	p := networkingv1.NetworkPolicyPort{}
	if rapid.Bool().Draw(d.T, "with protocol") {
		p.Protocol = ptr.To(rapid.SampledFrom(protocols).Draw(d.T, "protocol"))
	}
	switch rapid.IntRange(0, 3).Draw(d.T, "port") {
	case 0:
		p.Port = ptr.To(intstr.FromInt32(rapid.SampledFrom(ports).Draw(d.T, "number")))
	case 1:
		first := rapid.SampledFrom(ports).Draw(d.T, "first")
		p.Port = ptr.To(intstr.FromInt32(first))
		p.EndPort = ptr.To(max(first, rapid.SampledFrom(ports).Draw(d.T, "last")))
	case 2:
		p.Port = ptr.To(intstr.FromString(rapid.SampledFrom(portNames).Draw(d.T, "name")))
	}
	return p
}
