package validation

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// Namespace validates ns. Its kubernetes.io/metadata.name label may say anything: the API server overwrites it.
func Namespace(ns *corev1.Namespace, _ Options) field.ErrorList {
	return inOrder(apivalidation.ValidateObjectMeta(
		&ns.ObjectMeta, false, apivalidation.ValidateNamespaceName, metadata()))
}

// Node validates n and the addresses its status reports.
func Node(n *corev1.Node, o Options) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&n.ObjectMeta, false, apivalidation.NameIsDNSSubdomain, metadata())
	errs = append(errs, podCIDRs(n.Spec.PodCIDRs, o, field.NewPath("spec", "podCIDRs"))...)
	path := field.NewPath("status", "addresses")
	for i, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			errs = append(errs, address(a.Address, o, path.Index(i).Child("address"))...)
		}
	}
	return inOrder(errs)
}

func podCIDRs(list []string, o Options, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, text := range list {
		errs = append(errs, cidr(text, o, path.Index(i))...)
	}
	if len(errs) > 0 || len(list) < 2 {
		return errs
	}
	if pair, err := netutils.IsDualStackCIDRStrings(list); err != nil || !pair || len(list) > 2 {
		errs = append(errs, field.Invalid(path, list, "may specify no more than one CIDR for each IP family"))
	}
	return errs
}
