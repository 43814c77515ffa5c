package validation

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// NetworkPolicy validates p.
func NetworkPolicy(p *networkingv1.NetworkPolicy, o Options) field.ErrorList {
	spec := field.NewPath("spec")
	errs := apivalidation.ValidateObjectMeta(&p.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, metadata())
	errs = append(errs, metavalidation.ValidateLabelSelector(
		&p.Spec.PodSelector, metavalidation.LabelSelectorValidationOptions{}, spec.Child("podSelector"))...)
	for i, rule := range p.Spec.Ingress {
		path := spec.Child("ingress").Index(i)
		errs = append(errs, policyPorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, policyPeers(rule.From, o, path.Child("from"))...)
	}
	for i, rule := range p.Spec.Egress {
		path := spec.Child("egress").Index(i)
		errs = append(errs, policyPorts(rule.Ports, path.Child("ports"))...)
		errs = append(errs, policyPeers(rule.To, o, path.Child("to"))...)
	}
	return inOrder(append(errs, policyTypes(p.Spec.PolicyTypes, spec.Child("policyTypes"))...))
}

func policyTypes(types []networkingv1.PolicyType, path *field.Path) field.ErrorList {
	known := []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}
	if len(types) > len(known) {
		return field.ErrorList{field.Invalid(path, types, "may not specify more than two policyTypes")}
	}
	var errs field.ErrorList
	for i, t := range types {
		errs = append(errs, oneOf(t, known, path.Index(i))...)
	}
	return errs
}

func policyPorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range ports {
		if p.Protocol != nil {
			errs = append(errs, oneOf(*p.Protocol, protocols(), path.Index(i).Child("protocol"))...)
		}
		errs = append(errs, policyPortRange(p.Port, p.EndPort, path.Index(i))...)
	}
	return errs
}

// policyPortRange: a range needs a number to start from and must not end before it.
func policyPortRange(first *intstr.IntOrString, last *int32, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if first != nil {
		errs = portOrName(*first, path.Child("port"))
	}
	if last == nil {
		return errs
	}
	end := path.Child("endPort")
	switch {
	case first == nil:
		return append(errs, field.Invalid(end, *last, "may not be specified when `port` is not specified"))
	case first.Type != intstr.Int:
		return append(errs, field.Invalid(end, *last, "may not be specified when `port` is non-numeric"))
	case *last < first.IntVal:
		errs = append(errs, field.Invalid(end, *last,
			fmt.Sprintf("must be greater than or equal to `port`, which is %d", first.IntVal)))
	}
	return append(errs, portNumber(*last, end)...)
}

func policyPeers(peers []networkingv1.NetworkPolicyPeer, o Options, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range peers {
		errs = append(errs, policyPeer(p, o, path.Index(i))...)
	}
	return errs
}

func policyPeer(p networkingv1.NetworkPolicyPeer, o Options, path *field.Path) field.ErrorList {
	var strict metavalidation.LabelSelectorValidationOptions
	errs := metavalidation.ValidateLabelSelector(p.PodSelector, strict, path.Child("podSelector"))
	errs = append(errs,
		metavalidation.ValidateLabelSelector(p.NamespaceSelector, strict, path.Child("namespaceSelector"))...)
	bySelector := p.PodSelector != nil || p.NamespaceSelector != nil
	switch {
	case p.IPBlock == nil && !bySelector:
		return append(errs, field.Required(path, "must specify a peer"))
	case p.IPBlock == nil:
		return errs
	case bySelector:
		errs = append(errs, field.Forbidden(path, "may not specify both ipBlock and another peer"))
	}
	return append(errs, ipBlock(p.IPBlock, o, path.Child("ipBlock"))...)
}

// ipBlock: every except must be smaller than cidr and lie within it, which also makes it of the same family.
func ipBlock(b *networkingv1.IPBlock, o Options, path *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(path.Child("cidr"), "")}
	}
	errs := cidr(b.CIDR, o, path.Child("cidr"))
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	for i, text := range b.Except {
		at := path.Child("except").Index(i)
		errs = append(errs, cidr(text, o, at)...)
		_, part, partErr := netutils.ParseCIDRSloppy(text)
		if err != nil || partErr != nil {
			continue
		}
		wholeBits, _ := whole.Mask.Size()
		partBits, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || partBits <= wholeBits {
			errs = append(errs, field.Invalid(at, text, fmt.Sprintf("must be a strict subset of `cidr`, which is %s", b.CIDR)))
		}
	}
	return errs
}

// cidr applies the rules of apimachinery.
func cidr(text string, o Options, path *field.Path) field.ErrorList {
	return validation.IsValidCIDRForLegacyField(path, text, !o.LegacyIP, nil)
}

func protocols() []corev1.Protocol {
	return []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
}
