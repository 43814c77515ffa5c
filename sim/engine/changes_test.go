package engine_test

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/sim/random"
)

// The changes that laws speak of.

// rule is a rule of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// rewrite replaces every rule by those that f makes of it.
func rewrite(d *random.Drawing, f func(rule) []rule) {
	for _, np := range d.Policies {
		ingress, egress := np.Spec.Ingress, np.Spec.Egress
		writeTypes(np) // before egress rules come or go
		np.Spec.Ingress, np.Spec.Egress = nil, nil
		for _, r := range ingress {
			for _, r := range f(rule{r.From, r.Ports}) {
				np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: r.peers, Ports: r.ports})
			}
		}
		for _, r := range egress {
			for _, r := range f(rule{r.To, r.Ports}) {
				np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.peers, Ports: r.ports})
			}
		}
	}
}

// writeTypes writes down what absent policyTypes mean.
func writeTypes(np *networkingv1.NetworkPolicy) {
	if len(np.Spec.PolicyTypes) > 0 {
		return
	}
	np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(np.Spec.Egress) > 0 {
		np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

func addRule(d *random.Drawing) {
	for _, np := range d.Policies {
		writeTypes(np)
		if rapid.Bool().Draw(d.T, "ingress") {
			added := networkingv1.NetworkPolicyIngressRule{From: d.Peers(), Ports: d.Ports()}
			np.Spec.Ingress = append([]networkingv1.NetworkPolicyIngressRule{added}, np.Spec.Ingress...)
		} else {
			np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: d.Peers(), Ports: d.Ports()})
		}
	}
}

// addPeer leaves absent peers alone: they are everybody already.
func addPeer(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		if len(r.peers) > 0 {
			r.peers = append(r.peers, d.Peer())
		}
		return []rule{r}
	})
}

func addPort(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		if len(r.ports) > 0 {
			r.ports = append(r.ports, d.Port())
		}
		return []rule{r}
	})
}

func shuffled[T any](d *random.Drawing, list []T) []T {
	return rapid.Permutation(list).Draw(d.T, "order")
}

func shuffle(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		for _, p := range r.peers {
			if p.IPBlock != nil {
				p.IPBlock.Except = shuffled(d, p.IPBlock.Except)
			}
		}
		return []rule{{shuffled(d, r.peers), shuffled(d, r.ports)}}
	})
	for _, np := range d.Policies {
		np.Spec.Ingress, np.Spec.Egress = shuffled(d, np.Spec.Ingress), shuffled(d, np.Spec.Egress)
		np.Spec.PolicyTypes = shuffled(d, np.Spec.PolicyTypes)
	}
	d.Policies, d.Pods, d.Nodes = shuffled(d, d.Policies), shuffled(d, d.Pods), shuffled(d, d.Nodes)
	d.Namespaces, d.Services = shuffled(d, d.Namespaces), shuffled(d, d.Services)
	d.EndpointSlices = shuffled(d, d.EndpointSlices)
}

// rename gives every object another name, one that sorts the other way round.
func rename(d *random.Drawing) {
	for i, np := range d.Policies {
		np.Name, np.UID = fmt.Sprintf("z%d", 99-i), types.UID(fmt.Sprintf("other-%d", i))
	}
	for i, p := range d.Pods {
		p.Name, p.UID = fmt.Sprintf("z%d", 99-i), types.UID(fmt.Sprintf("other-pod-%d", i))
		p.Spec.NodeName = "other-" + p.Spec.NodeName
	}
	for _, n := range d.Nodes {
		n.Name = "other-" + n.Name
	}
	renameNamespaces(d)
}

// renameNamespaces also renames them where selectors speak of them.
func renameNamespaces(d *random.Drawing) {
	other := func(name string) string {
		if name == "" {
			return "" // what selectors may ask for, but no namespace is called
		}
		return "z-" + name
	}
	for _, n := range d.Namespaces {
		n.Name = other(n.Name)
		if n.Labels[corev1.LabelMetadataName] != "" {
			n.Labels[corev1.LabelMetadataName] = n.Name
		}
	}
	inSelector := func(s *metav1.LabelSelector) {
		for _, r := range ptr.Deref(s, metav1.LabelSelector{}).MatchExpressions {
			for i := range r.Values {
				if r.Key == corev1.LabelMetadataName {
					r.Values[i] = other(r.Values[i])
				}
			}
		}
	}
	for _, p := range d.Pods {
		p.Namespace = other(p.Namespace)
	}
	for _, np := range d.Policies {
		np.Namespace = other(np.Namespace)
	}
	for i, s := range d.Services {
		s.Namespace = other(s.Namespace)
		d.EndpointSlices[2*i].Namespace, d.EndpointSlices[2*i+1].Namespace = s.Namespace, s.Namespace
	}
	rewrite(d, func(r rule) []rule {
		for _, p := range r.peers {
			inSelector(p.NamespaceSelector)
		}
		return []rule{r}
	})
}

func splitPeers(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		if len(r.peers) < 2 {
			return []rule{r}
		}
		return []rule{{r.peers[:1], r.ports}, {r.peers[1:], r.ports}}
	})
}

func splitPorts(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		if len(r.ports) < 2 {
			return []rule{r}
		}
		return []rule{{r.peers, r.ports[:1]}, {r.peers, r.ports[1:]}}
	})
}

func splitPolicies(d *random.Drawing) {
	for _, np := range slices.Clone(d.Policies) {
		writeTypes(np)
		other := np.DeepCopy()
		other.Name, other.UID = np.Name+"-other", np.UID+"-other"
		in, out := len(np.Spec.Ingress)/2, len(np.Spec.Egress)/2
		other.Spec.Ingress, np.Spec.Ingress = np.Spec.Ingress[in:], np.Spec.Ingress[:in]
		other.Spec.Egress, np.Spec.Egress = np.Spec.Egress[out:], np.Spec.Egress[:out]
		d.Policies = append(d.Policies, other)
	}
}

func sayTwice(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		return []rule{r, {append(r.peers, r.peers...), append(r.ports, r.ports...)}}
	})
	for _, np := range copies(d.Policies) {
		np.Name, np.UID = np.Name+"-again", np.UID+"-again"
		d.Policies = append(d.Policies, np)
	}
}

func addPod(d *random.Drawing) { d.Pods = append(d.Pods, d.Pod(8)) }

func removeEnded(d *random.Drawing) {
	d.Pods = slices.DeleteFunc(d.Pods, func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
}

func addIdlePolicy(d *random.Drawing) {
	np := d.Policy(8)
	np.Spec.PodSelector.MatchExpressions = append(np.Spec.PodSelector.MatchExpressions,
		metav1.LabelSelectorRequirement{Key: "app", Operator: metav1.LabelSelectorOpExists},
		metav1.LabelSelectorRequirement{Key: "app", Operator: metav1.LabelSelectorOpDoesNotExist})
	d.Policies = append(d.Policies, np)
}

// isolateAgain adds to each policy one that isolates the same pods and allows nothing.
func isolateAgain(d *random.Drawing) {
	for _, np := range copies(d.Policies) {
		writeTypes(np)
		np.Name, np.UID = np.Name+"-isolate", np.UID+"-isolate"
		np.Spec.Ingress, np.Spec.Egress = nil, nil
		d.Policies = append(d.Policies, np)
	}
}

func dropIgnored(d *random.Drawing) {
	for _, np := range d.Policies {
		writeTypes(np)
		if !slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			np.Spec.Ingress = nil
		}
		if !slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			np.Spec.Egress = nil
		}
	}
}

func writeDefaults(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		for i := range r.ports {
			if r.ports[i].Protocol == nil {
				r.ports[i].Protocol = ptr.To(corev1.ProtocolTCP)
			}
		}
		return []rule{r}
	})
}

func labelsAsExpressions(d *random.Drawing) {
	for _, np := range d.Policies {
		asExpressions(&np.Spec.PodSelector)
	}
	rewrite(d, func(r rule) []rule {
		for _, p := range r.peers {
			asExpressions(p.PodSelector)
			asExpressions(p.NamespaceSelector)
		}
		return []rule{r}
	})
}

func asExpressions(s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	for key, value := range s.MatchLabels {
		s.MatchExpressions = append(s.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	s.MatchLabels = nil
}

func peersAsBlocks(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		if len(r.peers) == 0 {
			r.peers = []networkingv1.NetworkPolicyPeer{
				{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}}, {IPBlock: &networkingv1.IPBlock{CIDR: "::/0"}},
			}
		}
		return []rule{r}
	})
}

// halveBlocks replaces each block that is larger than an address by its halves, each with the exceptions that lie in it.
func halveBlocks(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		var peers []networkingv1.NetworkPolicyPeer
		for _, p := range r.peers {
			if p.IPBlock == nil || netip.MustParsePrefix(p.IPBlock.CIDR).IsSingleIP() {
				peers = append(peers, p)
				continue
			}
			for _, half := range halves(netip.MustParsePrefix(p.IPBlock.CIDR)) {
				peers = append(peers, part(p.IPBlock, half)...)
			}
		}
		return []rule{{peers, r.ports}}
	})
}

func halves(p netip.Prefix) [2]netip.Prefix {
	upper := p.Addr().AsSlice()
	upper[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(upper)
	return [2]netip.Prefix{netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(a, p.Bits()+1)}
}

// part returns what of a block lies in half of it: nothing, if that is excepted as a whole.
func part(b *networkingv1.IPBlock, half netip.Prefix) []networkingv1.NetworkPolicyPeer {
	within := &networkingv1.IPBlock{CIDR: half.String()}
	for _, text := range b.Except {
		switch e := netip.MustParsePrefix(text); {
		case e == half:
			return nil
		case e.Overlaps(half):
			within.Except = append(within.Except, text)
		}
	}
	return []networkingv1.NetworkPolicyPeer{{IPBlock: within}}
}

// setHostBits writes blocks as people did before 1.36: with an address inside them.
func setHostBits(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		for _, p := range r.peers {
			if p.IPBlock != nil {
				prefix := netip.MustParsePrefix(p.IPBlock.CIDR)
				bits := prefix.Addr().AsSlice()
				if !prefix.IsSingleIP() {
					bits[len(bits)-1] |= 1
				}
				a, _ := netip.AddrFromSlice(bits)
				p.IPBlock.CIDR = fmt.Sprintf("%s/%d", a, prefix.Bits())
			}
		}
		return []rule{r}
	})
}

func halveRanges(d *random.Drawing) {
	rewrite(d, func(r rule) []rule {
		var ports []networkingv1.NetworkPolicyPort
		for _, p := range r.ports {
			if p.EndPort == nil || *p.EndPort == p.Port.IntVal {
				ports = append(ports, p)
				continue
			}
			middle := (p.Port.IntVal + *p.EndPort) / 2
			ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: p.Protocol, Port: p.Port, EndPort: &middle},
				networkingv1.NetworkPolicyPort{Protocol: p.Protocol, Port: ptr.To(intstr.FromInt32(middle + 1)), EndPort: p.EndPort})
		}
		return []rule{{r.peers, ports}}
	})
}

// listAll lists the namespaces and nodes that pods are in and on.
func listAll(d *random.Drawing) {
	for _, p := range d.Pods {
		if !slices.ContainsFunc(d.Namespaces, called[*corev1.Namespace](p.Namespace)) {
			d.Namespaces = append(d.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}})
		}
		if !slices.ContainsFunc(d.Nodes, called[*corev1.Node](p.Spec.NodeName)) && len(p.Status.HostIPs) > 0 {
			d.Nodes = append(d.Nodes, nodeOf(p))
		}
	}
}

func nodeOf(p *corev1.Pod) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: p.Spec.NodeName}}
	for _, ip := range p.Status.HostIPs {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.IP})
	}
	return n
}

func removeServices(d *random.Drawing) { d.Services, d.EndpointSlices = nil, nil }
