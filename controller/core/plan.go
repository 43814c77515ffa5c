package core

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// plan is what has to be written so that what is published is what the policy comes to.
type plan struct {
	policy  *networkingv1.NetworkPolicy
	key     types.NamespacedName
	writes  []Write
	taken   []string // names that the policy needs and somebody else has
	foreign []string // names of objects that another controller published for the policy
	lacking bool     // an object that the policy needs may not be created any more
}

// compare fills in p.
func (p *plan) compare(desired, published []*v1alpha1.PolicyEndpoint) {
	there := map[string]*v1alpha1.PolicyEndpoint{}
	for _, o := range published {
		there[o.Name] = o
	}
	for _, d := range desired {
		p.want(d, there[d.Name])
		delete(there, d.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		o := there[name]
		switch {
		case marked(o) && ownedBy(o, p.policy.UID) || orphaned(o):
			p.add(Delete, o, nil, o)
		case !marked(o):
			p.foreign = append(p.foreign, name)
		}
	}
	if p.lacking { // what the others would lose is to be in that object
		p.writes = nil
	}
}

// want makes published, which may be nil, say what desired says.
func (p *plan) want(desired, published *v1alpha1.PolicyEndpoint) {
	switch {
	case published == nil && p.policy.DeletionTimestamp == nil:
		p.add(Create, desired, desired, nil)
	case published == nil:
		// The garbage collector deletes what the policy owns before the policy itself; it must not be fed.
		p.lacking = true
	case !ownedBy(published, p.policy.UID) && !orphaned(published):
		p.taken = append(p.taken, desired.Name)
	case !same(desired, published):
		p.add(Update, updated(desired, published), desired, published)
	}
}

// same reports whether published is as desired in everything that this project says.
func same(desired, published *v1alpha1.PolicyEndpoint) bool {
	return maps.Equal(ownAnnotations(desired), ownAnnotations(published)) &&
		equality.Semantic.DeepEqual(desired.Spec, published.Spec) &&
		equality.Semantic.DeepEqual(desired.OwnerReferences, published.OwnerReferences)
}

// annotationPrefix begins the annotations of this project.
const annotationPrefix = "palisade.dev/"

func ownAnnotations(o *v1alpha1.PolicyEndpoint) map[string]string {
	own := maps.Clone(o.Annotations)
	maps.DeleteFunc(own, func(key, _ string) bool { return !strings.HasPrefix(key, annotationPrefix) })
	return own
}

// updated returns published with the contents of desired, and with what others wrote into its metadata.
func updated(desired, published *v1alpha1.PolicyEndpoint) *v1alpha1.PolicyEndpoint {
	o := &v1alpha1.PolicyEndpoint{TypeMeta: desired.TypeMeta, Spec: desired.Spec}
	published.ObjectMeta.DeepCopyInto(&o.ObjectMeta)
	o.OwnerReferences = desired.OwnerReferences
	maps.DeleteFunc(o.Annotations, func(key, _ string) bool { return strings.HasPrefix(key, annotationPrefix) })
	if o.Annotations == nil {
		o.Annotations = map[string]string{}
	}
	maps.Copy(o.Annotations, desired.Annotations)
	return o
}

// add plans one write. after is nil for Delete, before is nil for Create.
func (p *plan) add(verb Verb, object, after, before *v1alpha1.PolicyEndpoint) {
	p.writes = append(p.writes, Write{Policy: p.key, Phase: phaseOf(before, after), Verb: verb, Object: object})
}

// ordered returns the writes by phase.
func (p *plan) ordered() []Write {
	slices.SortStableFunc(p.writes, func(a, b Write) int { return int(a.Phase) - int(b.Phase) })
	return p.writes
}

// phaseOf tells when to turn before into after, either of which may be nil.
func phaseOf(before, after *v1alpha1.PolicyEndpoint) Phase {
	podsBefore, rulesBefore := items(before)
	podsAfter, rulesAfter := items(after)
	switch {
	case adds(podsBefore, podsAfter):
		return AddPods
	case adds(rulesBefore, rulesAfter):
		return AddRules
	case adds(podsAfter, podsBefore):
		return RemovePods
	}
	return RemoveRules
}

// adds reports whether after has something that before has not.
func adds[T comparable](before, after map[T]bool) bool {
	for item := range after {
		if !before[item] {
			return true
		}
	}
	return false
}

// items returns what o lists.
func items(o *v1alpha1.PolicyEndpoint) (pods map[v1alpha1.PodEndpoint]bool, rules map[string]bool) {
	pods, rules = map[v1alpha1.PodEndpoint]bool{}, map[string]bool{}
	if o == nil {
		return pods, rules
	}
	for _, p := range o.Spec.PodSelectorEndpoints {
		pods[p] = true
	}
	for direction, list := range map[string][]v1alpha1.EndpointInfo{"ingress": o.Spec.Ingress, "egress": o.Spec.Egress} {
		for i := range list {
			text, _ := json.Marshal(&list[i]) // strings and numbers only: it cannot fail
			rules[direction+string(text)] = true
		}
	}
	return pods, rules
}
