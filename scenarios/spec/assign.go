package spec

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
)

// assigner gives objects what a running cluster would give them: addresses, nodes, status. It never gives an address
// twice, nor one that the scenario states anywhere.
//
//	             IPv4            IPv6                      where
//	node i       10.240.0.i      fd00:10:240::i            counted from 1 in the order of the file
//	its pods     10.240.i.0/24   fd00:10:240:i::/64        from the second address on
//	Services     10.96.0.0/16    fd00:10:96::/112          from the tenth address on
//	outside      203.0.113.0/24  fd00:203:0:71::/64        from the tenth address on
type assigner struct {
	families  []flow.Family
	placement string // of Vary, or empty: one node after the other
	taken     map[netip.Addr]bool
	nodes     int // that got a number
	scheduled int // pods that got a node
	nodePorts int // that were given
}

func newAssigner(s *Scenario) *assigner {
	a := &assigner{families: s.families, placement: s.variant.placement, taken: map[netip.Addr]bool{}}
	for _, h := range s.outside {
		for _, addr := range h.Addrs {
			a.taken[addr] = true
		}
	}
	for _, o := range s.objects {
		a.reserve(o.Value)
	}
	for i := range s.Steps {
		for _, o := range s.Steps[i].applied {
			a.reserve(o.Value)
		}
	}
	return a
}

func (a *assigner) reserve(o manifest.KubeObject) {
	var stated []string
	switch o := o.(type) {
	case *corev1.Pod:
		stated = podIPs(o)
	case *corev1.Service:
		stated = append(slices.Clone(o.Spec.ClusterIPs), o.Spec.ClusterIP)
	case *corev1.Node:
		for _, address := range o.Status.Addresses {
			stated = append(stated, address.Address)
		}
	}
	for _, text := range stated {
		if addr, err := netip.ParseAddr(text); err == nil {
			a.taken[addr] = true
		}
	}
}

// assign completes o. The message says why that is impossible, or is empty.
func (a *assigner) assign(o manifest.KubeObject, nodes []*corev1.Node) string {
	switch o := o.(type) {
	case *corev1.Node:
		return a.node(o)
	case *corev1.Pod:
		return a.pod(o, nodes)
	case *corev1.Service:
		return a.service(o)
	}
	return ""
}

func (a *assigner) node(n *corev1.Node) string {
	a.nodes++
	if a.nodes > 250 {
		return "there are more than 250 nodes"
	}
	if len(n.Spec.PodCIDRs) == 0 && n.Spec.PodCIDR == "" {
		for _, f := range a.families {
			n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, podRange(f, a.nodes).String())
		}
	}
	if n.Spec.PodCIDR == "" {
		n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	}
	if len(n.Spec.PodCIDRs) == 0 {
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	}
	if len(n.Status.Addresses) == 0 {
		for _, f := range a.families {
			addr := nodeAddr(f, a.nodes)
			a.taken[addr] = true
			n.Status.Addresses = append(n.Status.Addresses,
				corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr.String()})
		}
	}
	return ""
}

func nodeAddr(f flow.Family, i int) netip.Addr {
	if f == flow.IPv4 {
		return netip.AddrFrom4([4]byte{10, 240, 0, byte(i)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd00:10:240::%x", i))
}

func podRange(f flow.Family, i int) netip.Prefix {
	if f == flow.IPv4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 240, byte(i), 0}), 24)
	}
	return netip.MustParsePrefix(fmt.Sprintf("fd00:10:240:%x::/64", i))
}

func serviceRange(f flow.Family) netip.Prefix {
	if f == flow.IPv4 {
		return netip.MustParsePrefix("10.96.0.0/16")
	}
	return netip.MustParsePrefix("fd00:10:96::/112")
}

// take returns the first free address of p from its nth address on; the last address of an IPv4 range is no host's.
func (a *assigner) take(p netip.Prefix, nth int) (netip.Addr, bool) {
	addr := p.Masked().Addr()
	for range nth {
		addr = addr.Next()
	}
	for a.taken[addr] {
		addr = addr.Next()
	}
	if !p.Contains(addr) || !p.Contains(addr.Next()) {
		return netip.Addr{}, false
	}
	a.taken[addr] = true
	return addr, true
}

func (a *assigner) service(s *corev1.Service) string {
	if s.Spec.Type == corev1.ServiceTypeExternalName || s.Spec.ClusterIP == corev1.ClusterIPNone {
		return ""
	}
	if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP != "" {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
	if len(s.Spec.ClusterIPs) == 0 {
		for _, f := range a.serviceFamilies(s) {
			if !slices.Contains(a.families, f) {
				return "spec.ipFamilies names a family that the cluster does not have"
			}
			addr, ok := a.take(serviceRange(f), 10)
			if !ok {
				return "the range of ClusterIPs is used up"
			}
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, addr.String())
		}
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	a.setNodePorts(s)
	return ""
}

func hasNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// setNodePorts gives node ports from 30001 on, which nothing that a scenario states is likely to be.
func (a *assigner) setNodePorts(s *corev1.Service) {
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; hasNodePorts(s) && p.NodePort == 0 {
			a.nodePorts++
			p.NodePort = int32(30000 + a.nodePorts)
		}
	}
}

// serviceFamilies follows the API: one family, the cluster's first, unless the Service asks for others.
func (a *assigner) serviceFamilies(s *corev1.Service) []flow.Family {
	families := a.families
	if len(s.Spec.IPFamilies) > 0 {
		families = nil
		for _, f := range s.Spec.IPFamilies {
			known := map[corev1.IPFamily]flow.Family{corev1.IPv4Protocol: flow.IPv4, corev1.IPv6Protocol: flow.IPv6}
			families = append(families, known[f])
		}
	}
	policy := s.Spec.IPFamilyPolicy
	if policy == nil || *policy == corev1.IPFamilyPolicySingleStack {
		families = families[:1]
	}
	return families
}
