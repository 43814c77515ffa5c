package resolve

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// twin answers what the rules of one policy allow by reading the NetworkPolicy anew for every question. It is slow and
// it is meant to be obviously right.
type twin struct {
	*Snapshot
	policy *networkingv1.NetworkPolicy
}

// probe is a connection seen from a selected pod: the other end's address, and the destination port.
type probe struct {
	peer     netip.Addr
	protocol corev1.Protocol
	port     int32
}

// visible reports whether policies see p at all.
func visible(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed && !p.Spec.HostNetwork
}

// at returns the pod that has the address: the last one that was created with it.
func (t twin) at(a netip.Addr) *corev1.Pod {
	var last *corev1.Pod
	for _, p := range t.Pods {
		for _, ip := range p.Status.PodIPs {
			if !visible(p) || netip.MustParseAddr(ip.IP) != a {
				continue
			}
			if last == nil || last.CreationTimestamp.Before(&p.CreationTimestamp) {
				last = p
			}
		}
	}
	return last
}

func matchesSelector(s *metav1.LabelSelector, l map[string]string) bool {
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		panic(err)
	}
	return compiled.Matches(labels.Set(l))
}

func (t twin) selects(p *corev1.Pod) bool {
	return visible(p) && p.Namespace == t.policy.Namespace && matchesSelector(&t.policy.Spec.PodSelector, p.Labels)
}

func (t twin) isolates(direction networkingv1.PolicyType) bool {
	types := t.policy.Spec.PolicyTypes
	if len(types) > 0 {
		return slices.Contains(types, direction)
	}
	return direction == networkingv1.PolicyTypeIngress || len(t.policy.Spec.Egress) > 0
}

// ingress returns the rules by which p may reach subject.
func (t twin) ingress(subject *corev1.Pod, p probe) []int {
	var rules []int
	for i, r := range t.policy.Spec.Ingress {
		if t.isolates(networkingv1.PolicyTypeIngress) && t.anyPeer(r.From, p.peer) && anyPort(r.Ports, subject, p) {
			rules = append(rules, i)
		}
	}
	return rules
}

// egress returns the rules by which a selected pod may reach p, where p.peer is no ClusterIP.
func (t twin) egress(p probe) []int {
	var rules []int
	for i, r := range t.policy.Spec.Egress {
		if t.isolates(networkingv1.PolicyTypeEgress) && t.anyPeer(r.To, p.peer) && anyPort(r.Ports, t.at(p.peer), p) {
			rules = append(rules, i)
		}
	}
	return rules
}

// throughService reports whether a selected pod may reach a ClusterIP whose port leads to backends: an ipBlock of just
// that address says so, or else every backend may be reached.
func (t twin) throughService(p probe, backends []probe) bool {
	for _, r := range t.policy.Spec.Egress {
		for _, peer := range r.To {
			named := peer.IPBlock != nil && netip.MustParsePrefix(peer.IPBlock.CIDR) == single(p.peer)
			if t.isolates(networkingv1.PolicyTypeEgress) && named && anyPort(r.Ports, nil, p) {
				return true
			}
		}
	}
	for _, b := range backends {
		if len(t.egress(b)) == 0 {
			return false
		}
	}
	return true
}

// hasLeft reports whether an endpoint at a, which names ref, is a pod that has ended, and a nobody's.
func (t twin) hasLeft(ref *corev1.ObjectReference, a netip.Addr) bool {
	return ref != nil && t.at(a) == nil && slices.ContainsFunc(t.Pods, func(p *corev1.Pod) bool {
		return p.UID == ref.UID && !p.Spec.HostNetwork && !visible(p)
	})
}

func (t twin) anyPeer(peers []networkingv1.NetworkPolicyPeer, a netip.Addr) bool {
	matches := func(p networkingv1.NetworkPolicyPeer) bool { return t.isPeer(p, a) }
	return len(peers) == 0 || slices.ContainsFunc(peers, matches)
}

func (t twin) isPeer(peer networkingv1.NetworkPolicyPeer, a netip.Addr) bool {
	if peer.IPBlock != nil {
		contains := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(a) }
		return contains(peer.IPBlock.CIDR) && !slices.ContainsFunc(peer.IPBlock.Except, contains)
	}
	pod := t.at(a)
	if pod == nil || peer.PodSelector != nil && !matchesSelector(peer.PodSelector, pod.Labels) {
		return false
	}
	if peer.NamespaceSelector == nil {
		return pod.Namespace == t.policy.Namespace
	}
	return matchesSelector(peer.NamespaceSelector, t.namespaceLabels(pod.Namespace))
}

func (t twin) namespaceLabels(name string) map[string]string {
	for _, n := range t.Namespaces {
		if n.Name == name {
			return n.Labels
		}
	}
	return nil
}

// anyPort reports whether the destination port of p, on the pod to if it is one's, is among ports.
func anyPort(ports []networkingv1.NetworkPolicyPort, to *corev1.Pod, p probe) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		switch {
		case port.Protocol == nil && p.protocol != corev1.ProtocolTCP, port.Protocol != nil && *port.Protocol != p.protocol:
			return false
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			return to != nil && declares(to, port.Port.StrVal, p)
		case port.EndPort == nil:
			return p.port == port.Port.IntVal
		}
		return port.Port.IntVal <= p.port && p.port <= *port.EndPort
	})
}

func declares(pod *corev1.Pod, name string, p probe) bool {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name && port.Protocol == p.protocol && port.ContainerPort == p.port {
				return true
			}
		}
	}
	return false
}
