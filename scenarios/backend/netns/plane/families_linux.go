package plane

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
)

// familiesOf are the families of a cluster, the preferred one first: those of its first node.
func familiesOf(c *model.Cluster) []corev1.IPFamily {
	if len(c.Nodes) == 0 {
		return nil
	}
	var texts []string
	for _, a := range c.Nodes[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			texts = append(texts, a.Address)
		}
	}
	return familiesOfAddrs(texts)
}

func familiesOfAddrs(texts []string) []corev1.IPFamily {
	var out []corev1.IPFamily
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
		case a.Unmap().Is4():
			out = append(out, corev1.IPv4Protocol)
		default:
			out = append(out, corev1.IPv6Protocol)
		}
	}
	return out
}

// withFamilies says of a Service what the API server of a cluster with other families would have filled in: this one
// always has both.
func withFamilies(s *corev1.Service, families []corev1.IPFamily) *corev1.Service {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return s
	}
	s = s.DeepCopy()
	if s.Spec.ClusterIP != corev1.ClusterIPNone && len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
		families = familiesOfAddrs(s.Spec.ClusterIPs)
	}
	if len(s.Spec.IPFamilies) == 0 || s.Spec.ClusterIP != corev1.ClusterIPNone {
		s.Spec.IPFamilies = families
	}
	policy := corev1.IPFamilyPolicySingleStack
	if len(s.Spec.IPFamilies) > 1 {
		policy = corev1.IPFamilyPolicyRequireDualStack
	}
	s.Spec.IPFamilyPolicy = &policy
	return s
}
