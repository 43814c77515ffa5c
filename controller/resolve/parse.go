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

// parsed is a policy with its selectors compiled and its defaults filled in.
type parsed struct {
	policy          *networkingv1.NetworkPolicy
	types           []networkingv1.PolicyType
	subjects        *selection // nil if nobody can be selected
	ingress, egress []rule     // only of the directions in types
	problems        []error    // what is ignored because the API server would have rejected it
	hints           []Hint     // what is in force but hardly meant
}

// rule is one rule that is not known to be void: peers × ports.
type rule struct {
	index int // in spec.ingress or spec.egress
	peers peers
	ports portSpec
}

// peers is the from or to section of a rule. An absent section is two blocks: all of IPv4 and all of IPv6.
type peers struct {
	selections []*selection
	blocks     []block
}

// pods returns who is selected. A pod that several elements select is listed several times.
func (p *peers) pods() []*pod {
	if len(p.selections) == 1 {
		return p.selections[0].pods
	}
	var all []*pod
	for _, s := range p.selections {
		all = append(all, s.pods...)
	}
	return all
}

// pods returns the subjects, sorted by name.
func (p *parsed) pods() []*pod {
	if p.subjects == nil {
		return nil
	}
	return p.subjects.pods
}

// selections returns all that p uses; some may be listed several times.
func (p *parsed) selections() []*selection {
	var all []*selection
	if p.subjects != nil {
		all = append(all, p.subjects)
	}
	for _, r := range slices.Concat(p.ingress, p.egress) {
		all = append(all, r.peers.selections...)
	}
	return all
}

// hasEgressPeer reports whether an egress rule selects s.
func (p *parsed) hasEgressPeer(s *selection) bool {
	return slices.ContainsFunc(p.egress, func(r rule) bool { return slices.Contains(r.peers.selections, s) })
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
	hints     []Hint
}

func (p *parser) fail(err *field.Error) { p.problems = append(p.problems, err) }

// parse reads a policy. What it selects is kept up to date until dismiss.
func (x *Index) parse(np *networkingv1.NetworkPolicy) *parsed {
	p := &parser{index: x, namespace: np.Namespace}
	spec := field.NewPath("spec")
	result := &parsed{policy: np, types: p.types(spec, &np.Spec)}
	subjects, ok := p.selector(spec.Child("podSelector"), &np.Spec.PodSelector)
	if !ok {
		subjects = labels.Everything() // as in the model: nobody whom it may mean is left open
	}
	result.subjects = x.selection(x.scopeOf(np.Namespace), subjects)
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
	for _, problem := range p.problems {
		result.problems = append(result.problems, fmt.Errorf("networkpolicy %s/%s: %w", np.Namespace, np.Name, problem))
	}
	result.hints = p.hints
	return result
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

// peers reads a from or to section.
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
		if s := p.selected(path, peer); s != nil {
			result.selections = append(result.selections, s)
		}
	default:
		p.fail(field.Required(path, "must specify a peer"))
	}
}

// selected returns the pods that a peer's selectors match, nil if one of them is invalid. Without a namespace selector
// they are of the policy's own namespace, without a pod selector they are all pods of the namespaces.
func (p *parser) selected(path *field.Path, peer *networkingv1.NetworkPolicyPeer) *selection {
	pods, namespaces, ok := labels.Everything(), labels.Selector(nil), true
	if peer.NamespaceSelector != nil {
		if namespaces, ok = p.selector(path.Child("namespaceSelector"), peer.NamespaceSelector); !ok {
			return nil
		}
	}
	if peer.PodSelector != nil {
		if pods, ok = p.selector(path.Child("podSelector"), peer.PodSelector); !ok {
			return nil
		}
	}
	if namespaces == nil {
		return p.index.selection(p.index.scopeOf(p.namespace), pods)
	}
	return p.index.selection(p.index.scopeMatching(namespaces), pods)
}

// ipBlock reads a CIDR and its exceptions, which must lie inside it. A block with a bad exception opens nothing at all:
// without the exception it would open too much.
func (p *parser) ipBlock(path *field.Path, b *networkingv1.IPBlock) (block, bool) {
	prefix, err := parsePrefix(b.CIDR)
	if err != nil {
		p.fail(field.Invalid(path.Child("cidr"), b.CIDR, err.Error()))
		return block{}, false
	}
	p.hostBits(path.Child("cidr"), b.CIDR, prefix)
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
		p.hostBits(path.Child("except").Index(i), s, e)
		result.except = append(result.except, e)
	}
	slices.SortFunc(result.except, comparePrefixes)
	result.except = slices.Compact(result.except)
	return result, true
}
