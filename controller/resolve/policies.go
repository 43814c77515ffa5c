package resolve

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Resolution is what a policy comes to.
type Resolution struct {
	Endpoints []*v1alpha1.PolicyEndpoint // as Index.Policy returns them
	Errors    []error                    // name what the API server would have rejected, and what is ignored for it
	Hints     []Hint                     // what is in force but hardly meant
}

// SetPolicy takes in a new policy or a changed one, also one that took the name of another, and returns it if it is to
// be resolved. Its selectors are compiled now and never again.
func (x *Index) SetPolicy(np *networkingv1.NetworkPolicy) []types.NamespacedName {
	key := types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
	before := x.policies[key]
	if before != nil && before.policy.UID == np.UID && equality.Semantic.DeepEqual(&before.policy.Spec, &np.Spec) {
		before.policy = np
		return nil
	}
	now := x.parse(np)
	if before != nil {
		x.disuse(key, before)
	}
	x.use(key, now)
	if before != nil {
		x.dismiss(before)
	}
	return []types.NamespacedName{key}
}

// DeletePolicy forgets a policy, and returns it if it was known.
func (x *Index) DeletePolicy(key types.NamespacedName) []types.NamespacedName {
	p := x.policies[key]
	if p == nil {
		return nil
	}
	delete(x.policies, key)
	x.disuse(key, p)
	x.dismiss(p)
	return []types.NamespacedName{key}
}

// KnownPolicy returns the policy called key, nil if there is none.
func (x *Index) KnownPolicy(key types.NamespacedName) *networkingv1.NetworkPolicy {
	if p := x.policies[key]; p != nil {
		return p.policy
	}
	return nil
}

// Policies returns the names of all policies, sorted.
func (x *Index) Policies() []types.NamespacedName {
	all := touchedSet{}
	for key := range x.policies {
		all[key] = true
	}
	return all.sorted()
}

// Resolve resolves a policy that the Index knows; ok is false for others.
func (x *Index) Resolve(key types.NamespacedName, o Options) (r Resolution, ok bool) {
	p := x.policies[key]
	if p == nil {
		return Resolution{}, false
	}
	r.Endpoints, r.Errors = x.resolve(p, o)
	r.Hints = p.allHints()
	return r, true
}

// use makes events that concern p touch it.
func (x *Index) use(key types.NamespacedName, p *parsed) {
	x.policies[key] = p
	for _, s := range p.selections() {
		s.users[key] = p
	}
	for _, r := range p.egress {
		for _, b := range r.peers.blocks {
			x.blocks.add(b.prefix, key)
		}
		for _, name := range r.namesInBlocks() {
			if x.namedInBlock[name] == nil {
				x.namedInBlock[name] = map[types.NamespacedName]bool{}
			}
			x.namedInBlock[name][key] = true
		}
	}
}

// disuse undoes use, except for x.policies.
func (x *Index) disuse(key types.NamespacedName, p *parsed) {
	for _, s := range p.selections() {
		delete(s.users, key)
	}
	for _, r := range p.egress {
		for _, b := range r.peers.blocks {
			x.blocks.remove(b.prefix, key)
		}
		for _, name := range r.namesInBlocks() {
			delete(x.namedInBlock[name], key)
			if len(x.namedInBlock[name]) == 0 {
				delete(x.namedInBlock, name)
			}
		}
	}
}

// dismiss forgets what parse prepared and nobody uses.
func (x *Index) dismiss(p *parsed) {
	for _, s := range p.selections() {
		x.release(s)
	}
}

// namesInBlocks returns the named ports that r opens on the pods inside its ipBlocks.
func (r *rule) namesInBlocks() []portName {
	if len(r.peers.blocks) == 0 {
		return nil
	}
	return r.ports.names
}
