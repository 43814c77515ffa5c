package model

import (
	"net/netip"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	netutils "k8s.io/utils/net"

	"github.com/palisade-netpol/palisade/model/flow"
)

// policy is a NetworkPolicy with its defaults filled in and its selectors and CIDRs read.
type policy struct {
	ref      PolicyRef
	subjects labels.Selector
	isolates [2]bool    // by flow.Direction
	rules    [2][]*rule // by flow.Direction; without effect where it does not isolate
}

// rule allows what matches one of its peers and one of its ports. A nil list matches everything.
type rule struct {
	ref   RuleRef
	peers []peer
	ports []port
	reach atomic.Pointer[reach] // the last asked for
}

// peer is one element of "from" or "to": pods selected by labels, or a block of addresses.
type peer struct {
	block      *block
	namespace  string          // the only namespace, where namespaces is nil
	namespaces labels.Selector // nil: namespaceSelector is absent
	pods       labels.Selector
}

// block is an ipBlock. A block that cannot be read contains nothing.
type block struct {
	cidr   netip.Prefix
	except []netip.Prefix
}

// port is one element of "ports": a range of numbers of a protocol, or a name that the destination pod gives meaning.
type port struct {
	protocol    flow.Protocol
	first, last uint16
	name        string
}

func newPolicy(np *networkingv1.NetworkPolicy) *policy {
	p := &policy{ref: PolicyRef{np.Namespace, np.Name}, subjects: subjectSelector(&np.Spec.PodSelector)}
	for _, t := range policyTypes(&np.Spec) {
		switch t {
		case networkingv1.PolicyTypeIngress:
			p.isolates[flow.Ingress] = true
		case networkingv1.PolicyTypeEgress:
			p.isolates[flow.Egress] = true
		}
	}
	for _, r := range np.Spec.Ingress {
		p.addRule(flow.Ingress, r.From, r.Ports)
	}
	for _, r := range np.Spec.Egress {
		p.addRule(flow.Egress, r.To, r.Ports)
	}
	return p
}

// policyTypes defaults spec.policyTypes: always Ingress, and Egress if there are egress rules.
func policyTypes(spec *networkingv1.NetworkPolicySpec) []networkingv1.PolicyType {
	switch {
	case len(spec.PolicyTypes) > 0:
		return spec.PolicyTypes
	case len(spec.Egress) > 0:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

func (p *policy) addRule(
	dir flow.Direction, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort,
) {
	r := &rule{ref: RuleRef{PolicyRef: p.ref, Direction: dir.String(), Index: len(p.rules[dir])}}
	for _, np := range peers {
		r.peers = append(r.peers, newPeer(np, p.ref.Namespace))
	}
	for _, np := range ports {
		r.ports = append(r.ports, newPort(np))
	}
	p.rules[dir] = append(p.rules[dir], r)
}

func newPeer(np networkingv1.NetworkPolicyPeer, namespace string) peer {
	p := peer{namespace: namespace, pods: labels.Nothing()}
	switch {
	case np.IPBlock != nil:
		p.block = newBlock(np.IPBlock)
		if np.PodSelector != nil || np.NamespaceSelector != nil {
			p.block = &block{}
		}
	case np.PodSelector != nil:
		p.pods = peerSelector(np.PodSelector)
	case np.NamespaceSelector != nil:
		p.pods = labels.Everything()
	}
	if np.NamespaceSelector != nil {
		p.namespaces = peerSelector(np.NamespaceSelector)
	}
	return p
}

func newBlock(b *networkingv1.IPBlock) *block {
	cidr, ok := parsePrefix(b.CIDR)
	read := block{cidr: cidr}
	for _, text := range b.Except {
		except, readable := parsePrefix(text)
		ok = ok && readable
		read.except = append(read.except, except)
	}
	if !ok {
		return &block{}
	}
	return &read
}

// parsePrefix reads a CIDR as the API has always read it: bits beyond the length are ignored, leading zeros are
// decimal, and an IPv4-mapped prefix is the IPv4 one.
func parsePrefix(text string) (netip.Prefix, bool) {
	_, ipnet, err := netutils.ParseCIDRSloppy(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, _ := netip.AddrFromSlice(ipnet.IP)
	bits, _ := ipnet.Mask.Size()
	if addr.Is4In6() {
		addr, bits = addr.Unmap(), bits-96
	}
	return netip.PrefixFrom(addr, bits), true
}

func newPort(np networkingv1.NetworkPolicyPort) port {
	nothing := port{first: 1, last: 0}
	protocol := corev1.ProtocolTCP
	if np.Protocol != nil {
		protocol = *np.Protocol
	}
	parsed, err := flow.ParseProtocol(string(protocol))
	switch {
	case err != nil:
		return nothing
	case np.Port == nil && np.EndPort == nil:
		return port{protocol: parsed, first: 0, last: 65535}
	case np.Port == nil:
		return nothing
	case np.Port.Type == intstr.String && np.EndPort == nil && np.Port.StrVal != "":
		return port{protocol: parsed, name: np.Port.StrVal, first: 1, last: 0}
	case np.Port.Type == intstr.String:
		return nothing
	}
	first, last := np.Port.IntVal, np.Port.IntVal
	if np.EndPort != nil {
		last = *np.EndPort
	}
	if first < 1 || last > 65535 || first > last {
		return nothing
	}
	return port{protocol: parsed, first: uint16(first), last: uint16(last)}
}

// subjectSelector reads a policy's own podSelector; an unreadable one isolates everything.
func subjectSelector(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Everything()
	}
	return selector
}

// peerSelector reads the selector of a peer; an unreadable one allows nothing.
func peerSelector(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// contains subtracts except from this block only; another block may contain the address all the same.
func (b *block) contains(a netip.Addr) bool {
	return b.cidr.Contains(a) &&
		!slices.ContainsFunc(b.except, func(e netip.Prefix) bool { return e.Contains(a) })
}

// selects reports whether the labels of a pod and of its namespace are those the peer asks for.
func (p *peer) selects(target *pod) bool {
	if p.namespaces == nil {
		return target.key.Namespace == p.namespace && p.pods.Matches(target.labels)
	}
	return p.namespaces.Matches(target.namespaceLabels) && p.pods.Matches(target.labels)
}
