package core

import (
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Strip returns what a node needs of a PolicyEndpoint, so that the memory of an agent grows with the pods of its node
// and not with those of the cluster:
//
//   - of spec.podSelectorEndpoints, those of this node, and those whose hostIP cannot be read (they may be);
//   - the rules, unless the object says that it is the only one of its policy and it selects no pod here. Where there
//     may be other objects (another controller's say nothing about it), one of them may select a pod of this node.
//
// Names, annotations and policyRef stay. The object given is not modified, but parts of it are shared.
func Strip(pe *v1alpha1.PolicyEndpoint, node []netip.Addr) *v1alpha1.PolicyEndpoint {
	out := &v1alpha1.PolicyEndpoint{Spec: pe.Spec}
	out.Namespace, out.Name, out.ResourceVersion = pe.Namespace, pe.Name, pe.ResourceVersion
	out.Annotations = ours(pe.Annotations)
	out.Spec.PodSelector = nil
	out.Spec.PodSelectorEndpoints = nil
	for _, pod := range pe.Spec.PodSelectorEndpoints {
		host, err := netip.ParseAddr(string(pod.HostIP))
		if err != nil || slices.Contains(node, host.Unmap()) {
			out.Spec.PodSelectorEndpoints = append(out.Spec.PodSelectorEndpoints, pod)
		}
	}
	if len(out.Spec.PodSelectorEndpoints) == 0 && pe.Annotations[v1alpha1.ChunkCountAnnotation] == "1" {
		out.Spec.Ingress, out.Spec.Egress = nil, nil
		delete(out.Annotations, v1alpha1.IngressRulesAnnotation)
		delete(out.Annotations, v1alpha1.EgressRulesAnnotation)
	}
	return out
}

// ours keeps the annotations that mean something here.
func ours(all map[string]string) map[string]string {
	kept := map[string]string{}
	for _, key := range []string{
		v1alpha1.IngressRulesAnnotation, v1alpha1.EgressRulesAnnotation, v1alpha1.ChunkHashAnnotation,
		v1alpha1.SetHashAnnotation, v1alpha1.ChunkCountAnnotation, v1alpha1.PolicyAnnotation,
	} {
		if v, ok := all[key]; ok {
			kept[key] = v
		}
	}
	return kept
}
