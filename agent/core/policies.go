package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// policies are the PolicyEndpoints of the cluster, by policy.
type policies struct {
	timing  timing
	groups  map[Name]*group
	groupOf map[Name]Name     // the policy of each object
	local   map[Name]struct{} // policies that select a pod of this node
	hot     map[Name]struct{} // policies for which time matters
}

func newPolicies(t timing) *policies {
	return &policies{t, map[Name]*group{}, map[Name]Name{}, map[Name]struct{}{}, map[Name]struct{}{}}
}

func nameOf(o *endpoint) Name { return Name{o.Namespace, o.Name} }

// policyOf names the policy of an object. One that speaks for another namespace stands alone, under a name that no
// policy can have.
func policyOf(o *endpoint) Name {
	ref := o.Spec.PolicyRef
	if ref.Namespace != o.Namespace {
		return Name{o.Namespace, "!" + o.Name}
	}
	return Name{ref.Namespace, v1alpha1.PolicyName(o)}
}

// set takes an object that is new or different. It returns whether what is in force on this node may have changed.
func (p *policies) set(now time.Time, o *endpoint) bool {
	touched := map[Name]struct{}{}
	p.put(o, touched)
	return p.update(now, touched)
}

// remove takes an object away.
func (p *policies) remove(now time.Time, object Name) bool {
	touched := map[Name]struct{}{}
	p.drop(object, touched)
	return p.update(now, touched)
}

// replace makes objects all there are.
func (p *policies) replace(now time.Time, objects []*endpoint) bool {
	touched := map[Name]struct{}{}
	seen := map[Name]bool{}
	for _, o := range objects {
		seen[nameOf(o)] = true
		p.put(o, touched)
	}
	for object := range p.groupOf {
		if !seen[object] {
			p.drop(object, touched)
		}
	}
	return p.update(now, touched)
}

// unsettled says whether entries that disappeared are still in force, or a policy may still become complete soon.
func (p *policies) unsettled() bool {
	for policy := range p.hot {
		if g := p.groups[policy]; len(g.kept) > 0 || g.waiting() {
			return true
		}
	}
	return false
}

// awaits says whether a policy that is known in part selects a pod, and nothing says yet what the pod may do.
func (p *policies) awaits(pod *Pod) bool {
	for policy := range p.hot {
		if p.groups[policy].awaits(pod) {
			return true
		}
	}
	return false
}

// put notes an object, unless it is what was seen before.
func (p *policies) put(o *endpoint, touched map[Name]struct{}) {
	object, policy := nameOf(o), policyOf(o)
	if former, ok := p.groupOf[object]; ok {
		have := p.groups[former].objects[o.Name]
		if o.ResourceVersion != "" && have.ResourceVersion == o.ResourceVersion {
			return
		}
		if former != policy {
			p.drop(object, touched)
		}
	}
	g := p.groups[policy]
	if g == nil {
		g = &group{objects: map[string]*endpoint{}}
		p.groups[policy] = g
	}
	g.objects[o.Name], p.groupOf[object] = o, policy
	touched[policy] = struct{}{}
}

func (p *policies) drop(object Name, touched map[Name]struct{}) {
	policy, ok := p.groupOf[object]
	if !ok {
		return
	}
	delete(p.groupOf, object)
	delete(p.groups[policy].objects, object.Name)
	touched[policy] = struct{}{}
}

// update brings the touched policies up to date.
func (p *policies) update(now time.Time, touched map[Name]struct{}) bool {
	changed := false
	for policy := range touched {
		g := p.groups[policy]
		before := g.local()
		g.update(now, p.timing)
		changed = changed || before || g.local()
		p.index(policy)
	}
	return changed
}

// index notes what kind of policy it is now.
func (p *policies) index(policy Name) {
	g := p.groups[policy]
	mark(p.local, policy, g.local())
	mark(p.hot, policy, !g.partial.IsZero() || !g.next(p.timing).IsZero())
	if g.empty() {
		delete(p.groups, policy)
	}
}

func mark(set map[Name]struct{}, n Name, in bool) {
	if in {
		set[n] = struct{}{}
	} else {
		delete(set, n)
	}
}

// due lets time pass. It returns whether what is in force on this node may have changed.
func (p *policies) due(now time.Time) bool {
	changed := false
	for policy := range maps.Clone(p.hot) {
		g := p.groups[policy]
		before := g.local()
		if g.due(now, p.timing) {
			changed = changed || before || g.local()
		}
		p.index(policy)
	}
	return changed
}

// next is when due has something to do, zero for never.
func (p *policies) next() time.Time {
	var at time.Time
	for policy := range p.hot {
		at = earlier(at, p.groups[policy].next(p.timing))
	}
	return at
}

// waiting says whether some policy is incomplete with nothing in force, and may still become complete soon.
func (p *policies) waiting() bool {
	for policy := range p.hot {
		if g := p.groups[policy]; g.waiting() && len(g.inForce) == 0 {
			return true
		}
	}
	return false
}

// enforced returns the objects in force that concern this node, in an order of their own.
func (p *policies) enforced() []*endpoint {
	var list []*endpoint
	for _, policy := range slices.SortedFunc(maps.Keys(p.local), compareNames) {
		list = append(list, p.groups[policy].enforced()...)
	}
	return list
}

func compareNames(a, b Name) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// conditions name the policies that have been incomplete for too long.
func (p *policies) conditions() []enforce.Condition {
	var list []enforce.Condition
	for policy := range p.hot {
		g := p.groups[policy]
		if !g.overdue {
			continue
		}
		message := "some of its PolicyEndpoints are missing: what it said before stays in force, and other pods are closed"
		if len(g.inForce) == 0 {
			message = fmt.Sprintf("only %d of its PolicyEndpoints are there: the pods that they select are closed",
				len(g.objects))
		}
		list = append(list, enforce.Condition{Object: policy.String(), Message: message})
	}
	return list
}
