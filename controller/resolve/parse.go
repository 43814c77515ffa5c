package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// parsed is a policy with its selectors applied and its defaults filled in.
type parsed struct {
	policy          *networkingv1.NetworkPolicy
	types           []networkingv1.PolicyType
	subjects        []*pod // sorted by name
	ingress, egress []rule // only of the directions in types
}

// rule is one rule that is not known to be void: peers × ports.
type rule struct {
	index int // in spec.ingress or spec.egress
	peers peers
	ports portSpec
}

// peers is the from or to section of a rule. An absent section is two blocks: all of IPv4 and all of IPv6.
type peers struct {
	pods   []*pod
	blocks []block
}

// block is an ipBlock: the addresses of prefix that are in none of except.
type block struct {
	prefix netip.Prefix
	except []netip.Prefix // sorted
}

func (b block) contains(a netip.Addr) bool {
	return b.prefix.Contains(a) && !slices.ContainsFunc(b.except, func(e netip.Prefix) bool { return e.Contains(a) })
}

// parser collects what is wrong with a policy while it reads it.
type parser struct {
	index     *Index
	namespace string
	problems  field.ErrorList
}

func (p *parser) fail(err *field.Error) { p.problems = append(p.problems, err) }

// parse reads a policy. The errors name what is ignored because the API server would have rejected it.
func (x *Index) parse(np *networkingv1.NetworkPolicy) (*parsed, []error) {
	p := &parser{index: x, namespace: np.Namespace}
	spec := field.NewPath("spec")
	result := &parsed{policy: np, types: p.types(spec, &np.Spec)}
	if s, ok := p.selector(spec.Child("podSelector"), &np.Spec.PodSelector); ok {
		result.subjects = x.selectPods(np.Namespace, s)
	}
	if slices.Contains(result.types, networkingv1.PolicyTypeIngress) {
		for i, r := range np.Spec.Ingress {
			path := spec.Child("ingress").Index(i)
			result.ingress = append(result.ingress,
				rule{i, p.peers(path.Child("from"), r.From), p.ports(path.Child("ports"), r.Ports)})
		}
	}
	if slices.Contains(result.types, networkingv1.PolicyTypeEgress) {
		for i, r := range np.Spec.Egress {
			path := spec.Child("egress").Index(i)
			result.egress = append(result.egress,
				rule{i, p.peers(path.Child("to"), r.To), p.ports(path.Child("ports"), r.Ports)})
		}
	}
	var errs []error
	for _, problem := range p.problems {
		errs = append(errs, fmt.Errorf("networkpolicy %s/%s: %w", np.Namespace, np.Name, problem))
	}
	return result, errs
}

// types returns the policy types as the API server defaults them: always Ingress, and Egress where there are egress
// rules.
func (p *parser) types(path *field.Path, spec *networkingv1.NetworkPolicySpec) []networkingv1.PolicyType {
	if len(spec.PolicyTypes) == 0 {
		if len(spec.Egress) > 0 {
			return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		}
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	}
	var types []networkingv1.PolicyType
	for i, t := range spec.PolicyTypes {
		switch {
		case t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress:
			p.fail(field.NotSupported(path.Child("policyTypes").Index(i), t, []string{"Ingress", "Egress"}))
		case !slices.Contains(types, t):
			types = append(types, t)
		}
	}
	return types
}

// selector compiles a label selector.
func (p *parser) selector(path *field.Path, s *metav1.LabelSelector) (labels.Selector, bool) {
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		p.fail(field.Invalid(path, metav1.FormatLabelSelector(s), err.Error()))
		return nil, false
	}
	return compiled, true
}

// peers reads a from or to section. A pod that several elements select is listed several times.
func (p *parser) peers(path *field.Path, section []networkingv1.NetworkPolicyPeer) peers {
	if len(section) == 0 {
		return peers{blocks: []block{
			{prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
			{prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
		}}
	}
	var result peers
	for i := range section {
		p.peer(path.Index(i), &section[i], &result)
	}
	return result
}

// peer adds one element of a from or to section to result.
func (p *parser) peer(path *field.Path, peer *networkingv1.NetworkPolicyPeer, result *peers) {
	selectors := peer.PodSelector != nil || peer.NamespaceSelector != nil
	switch {
	case peer.IPBlock != nil && selectors:
		p.fail(field.Forbidden(path, "ipBlock and selectors exclude each other"))
	case peer.IPBlock != nil:
		if b, ok := p.ipBlock(path.Child("ipBlock"), peer.IPBlock); ok {
			result.blocks = append(result.blocks, b)
		}
	case selectors:
		result.pods = append(result.pods, p.selected(path, peer)...)
	default:
		p.fail(field.Required(path, "must specify a peer"))
	}
}

// selected returns the pods that a peer's selectors match. Without a namespace selector they are of the policy's own
// namespace, without a pod selector they are all pods of the namespaces.
func (p *parser) selected(path *field.Path, peer *networkingv1.NetworkPolicyPeer) []*pod {
	names := []string{p.namespace}
	if peer.NamespaceSelector != nil {
		s, ok := p.selector(path.Child("namespaceSelector"), peer.NamespaceSelector)
		if !ok {
			return nil
		}
		names = p.index.selectNamespaces(s)
	}
	pods := labels.Everything()
	if peer.PodSelector != nil {
		s, ok := p.selector(path.Child("podSelector"), peer.PodSelector)
		if !ok {
			return nil
		}
		pods = s
	}
	var found []*pod
	for _, name := range names {
		found = append(found, p.index.selectPods(name, pods)...)
	}
	return found
}

// ipBlock reads a CIDR and its exceptions, which must lie inside it. A block with a bad exception opens nothing at all:
// without the exception it would open too much.
func (p *parser) ipBlock(path *field.Path, b *networkingv1.IPBlock) (block, bool) {
	prefix, err := parsePrefix(b.CIDR)
	if err != nil {
		p.fail(field.Invalid(path.Child("cidr"), b.CIDR, err.Error()))
		return block{}, false
	}
	result := block{prefix: prefix}
	for i, s := range b.Except {
		e, err := parsePrefix(s)
		if err == nil && (e.Bits() <= prefix.Bits() || !prefix.Contains(e.Addr())) {
			err = fmt.Errorf("must be a strict subset of %s", prefix)
		}
		if err != nil {
			p.fail(field.Invalid(path.Child("except").Index(i), s, err.Error()))
			return block{}, false
		}
		result.except = append(result.except, e)
	}
	slices.SortFunc(result.except, comparePrefixes)
	result.except = slices.Compact(result.except)
	return result, true
}
