package core

import (
	"cmp"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// chunkStore holds the newest known state of every PolicyEndpoint, from the watch or from the answer to a write,
// whichever is newer.
type chunkStore struct {
	byName   map[types.NamespacedName]*v1alpha1.PolicyEndpoint
	byPolicy map[types.NamespacedName]map[string]*v1alpha1.PolicyEndpoint // by the policy, then by name
	buried   map[types.UID]bool                                           // deleted, but the watch has yet to say so
}

func newChunkStore() *chunkStore {
	return &chunkStore{
		byName:   map[types.NamespacedName]*v1alpha1.PolicyEndpoint{},
		byPolicy: map[types.NamespacedName]map[string]*v1alpha1.PolicyEndpoint{},
		buried:   map[types.UID]bool{},
	}
}

// set takes over o unless something newer is known, and returns the policies that it concerns.
func (s *chunkStore) set(o *v1alpha1.PolicyEndpoint) []types.NamespacedName {
	before := s.byName[keyOf(o)]
	if s.buried[o.UID] || before != nil && !newer(o, before) {
		return nil
	}
	touched := s.remove(before)
	policy := policyOf(o)
	s.byName[keyOf(o)] = o
	if s.byPolicy[policy] == nil {
		s.byPolicy[policy] = map[string]*v1alpha1.PolicyEndpoint{}
	}
	s.byPolicy[policy][o.Name] = o
	if !slices.Contains(touched, policy) {
		touched = append(touched, policy)
	}
	return touched
}

// newer reports whether a is a later state than b. Versions that cannot be compared make the later arrival newer.
func newer(a, b *v1alpha1.PolicyEndpoint) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err != nil || order > 0
}

// delete takes in from the watch that o is no more.
func (s *chunkStore) delete(o *v1alpha1.PolicyEndpoint) []types.NamespacedName {
	delete(s.buried, o.UID)
	if known := s.byName[keyOf(o)]; known == nil || known.UID != o.UID {
		return nil
	}
	return s.remove(o)
}

// bury takes in from the answer to a write that o is no more, before the watch knows.
func (s *chunkStore) bury(o *v1alpha1.PolicyEndpoint) {
	if known := s.byName[keyOf(o)]; known != nil && known.UID == o.UID {
		s.remove(known)
		s.buried[o.UID] = true
	}
}

// review forgets what the watch should know by now but does not.
func (s *chunkStore) review(r Reviewed) []types.NamespacedName {
	touched := map[types.NamespacedName]bool{}
	for key, o := range s.byName {
		order, err := resourceversion.CompareResourceVersion(o.ResourceVersion, r.UpTo)
		if r.Chunks[key] || err != nil || order > 0 {
			continue
		}
		for _, policy := range s.remove(o) {
			touched[policy] = true
		}
	}
	return slices.SortedFunc(maps.Keys(touched), compareKeys)
}

// remove forgets what is known under the name of o, which may be nil.
func (s *chunkStore) remove(o *v1alpha1.PolicyEndpoint) []types.NamespacedName {
	if o == nil {
		return nil
	}
	known := s.byName[keyOf(o)]
	policy := policyOf(known)
	delete(s.byName, keyOf(o))
	delete(s.byPolicy[policy], o.Name)
	if len(s.byPolicy[policy]) == 0 {
		delete(s.byPolicy, policy)
	}
	return []types.NamespacedName{policy}
}

// of returns the objects of a policy, sorted by name.
func (s *chunkStore) of(policy types.NamespacedName) []*v1alpha1.PolicyEndpoint {
	return slices.SortedFunc(maps.Values(s.byPolicy[policy]), func(a, b *v1alpha1.PolicyEndpoint) int {
		return cmp.Compare(a.Name, b.Name)
	})
}

// policies returns all policies that have objects.
func (s *chunkStore) policies() map[types.NamespacedName]bool {
	all := map[types.NamespacedName]bool{}
	for key := range s.byPolicy {
		all[key] = true
	}
	return all
}

// policyOf returns the policy that o belongs to: its owner, or the one that it names if no policy owns it.
func policyOf(o *v1alpha1.PolicyEndpoint) types.NamespacedName {
	if owner := policyOwner(o); owner != nil {
		return types.NamespacedName{Namespace: o.Namespace, Name: owner.Name}
	}
	return types.NamespacedName{Namespace: o.Namespace, Name: v1alpha1.PolicyName(o)}
}

// policyOwner returns the reference to the NetworkPolicy that controls o, nil if there is none.
func policyOwner(o *v1alpha1.PolicyEndpoint) *metav1.OwnerReference {
	owner := metav1.GetControllerOf(o)
	if owner == nil || owner.Kind != "NetworkPolicy" {
		return nil
	}
	if gv, err := schema.ParseGroupVersion(owner.APIVersion); err != nil || gv.Group != networkingv1.GroupName {
		return nil
	}
	return owner
}

// ownedBy reports whether the policy with that UID controls o.
func ownedBy(o *v1alpha1.PolicyEndpoint, uid types.UID) bool {
	owner := policyOwner(o)
	return owner != nil && owner.UID == uid
}

// orphaned reports whether this project made o, and nothing controls it any more: "kubectl delete --cascade=orphan" and
// what restores backups take owners away.
func orphaned(o *v1alpha1.PolicyEndpoint) bool { return marked(o) && metav1.GetControllerOf(o) == nil }

// marked reports whether this project made o.
func marked(o *v1alpha1.PolicyEndpoint) bool {
	return o.Annotations[v1alpha1.ChunkHashAnnotation] != ""
}
