package resolve

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// lists are the three lists of a PolicyEndpoint.
type lists struct {
	pods            []v1alpha1.PodEndpoint
	ingress, egress []entry
}

// fit reports whether l goes into one object.
func (l lists) fit(limit int) bool {
	bytes := total(l.pods, podWeight) + total(l.ingress, entry.weight) + total(l.egress, entry.weight)
	items := max(len(l.pods), len(l.ingress), len(l.egress))
	return items <= limit && (bytes <= maxChunkBytes || len(l.pods)+len(l.ingress)+len(l.egress) == 1)
}

// publish writes l as PolicyEndpoints. What fits goes into one object. Otherwise that object stays as an empty head,
// and each list is cut into chunks of its own: rules come before pods, so that who publishes them in this order never
// shows a pod before its rules.
func publish(p *parsed, v *variant, l lists, limit int) []*v1alpha1.PolicyEndpoint {
	if l.fit(limit) {
		return []*v1alpha1.PolicyEndpoint{newPolicyEndpoint(p, v, "", l)}
	}
	set := []*v1alpha1.PolicyEndpoint{newPolicyEndpoint(p, v, "", lists{})}
	for _, c := range chunks(l.ingress, limit, entry.weight) {
		set = append(set, newPolicyEndpoint(p, v, "ingress/"+c.path, lists{ingress: c.items}))
	}
	for _, c := range chunks(l.egress, limit, entry.weight) {
		set = append(set, newPolicyEndpoint(p, v, "egress/"+c.path, lists{egress: c.items}))
	}
	for _, c := range chunks(l.pods, limit, podWeight) {
		set = append(set, newPolicyEndpoint(p, v, "pods/"+c.path, lists{pods: c.items}))
	}
	return set
}

// newPolicyEndpoint writes one object. chunk is empty for the head of the set.
func newPolicyEndpoint(p *parsed, v *variant, chunk string, l lists) *v1alpha1.PolicyEndpoint {
	ingress, ingressRules := infos(l.ingress)
	egress, egressRules := infos(l.egress)
	return &v1alpha1.PolicyEndpoint{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{
			Name:            objectName(p.policy.Namespace, v, chunk),
			Namespace:       p.policy.Namespace,
			Annotations:     annotations(v, ingressRules, egressRules),
			OwnerReferences: []metav1.OwnerReference{*owner(p.policy)},
		},
		Spec: v1alpha1.PolicyEndpointSpec{
			PodSelector:          p.policy.Spec.PodSelector.DeepCopy(),
			PolicyRef:            v1alpha1.PolicyReference{Name: v.refName(), Namespace: p.policy.Namespace},
			PodIsolation:         slices.Clone(p.types),
			PodSelectorEndpoints: l.pods,
			Ingress:              ingress,
			Egress:               egress,
		},
	}
}

// infos writes entries in the form of the API, and the rule that each comes from.
func infos(entries []entry) (list []v1alpha1.EndpointInfo, rules []int) {
	for i := range entries {
		list = append(list, entries[i].api())
		rules = append(rules, entries[i].rule)
	}
	return list, rules
}

// annotations says which rules entries come from, and what the objects of v are a part of.
func annotations(v *variant, ingress, egress []int) map[string]string {
	annotations := map[string]string{}
	if v.resolution != "" {
		annotations[v1alpha1.PolicyAnnotation] = v.policy
		annotations[v1alpha1.NamedPortsAnnotation] = v.resolution
	}
	if len(ingress) > 0 {
		annotations[v1alpha1.IngressRulesAnnotation] = v1alpha1.EncodeRules(ingress)
	}
	if len(egress) > 0 {
		annotations[v1alpha1.EgressRulesAnnotation] = v1alpha1.EncodeRules(egress)
	}
	return annotations
}

// owner makes the API server delete what was published when the policy goes, without a finalizer on the policy.
func owner(p *networkingv1.NetworkPolicy) *metav1.OwnerReference {
	return metav1.NewControllerRef(p, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
}

const (
	maxNameLength    = 253 // of an object: a DNS subdomain
	suffixLength     = 10  // characters of base32: 50 bits
	maxRefNameLength = maxNameLength - len("-") - suffixLength
)

// objectName returns "<policyRef.name>-<suffix>": other agents cut at the last dash to find the policy. The suffix
// depends on what the object is a part of and not on what it says, so that a change is an update of the same object. A
// policy whose name leaves no room is cut; policyRef has the whole name.
func objectName(namespace string, v *variant, chunk string) string {
	return CutName(v.refName(), maxRefNameLength) + "-" + suffix(fmt.Appendf(nil, "%q %q %q", namespace, v.key(), chunk))
}

// suffix stands for what was said.
func suffix(said []byte) string {
	sum := sha256.Sum256(said)
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:suffixLength]
}

// CutName returns at most the first n bytes of a name, such that something can be appended to them.
func CutName(name string, n int) string { return strings.TrimRight(name[:min(len(name), n)], "-.") }
