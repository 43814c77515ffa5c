package core_test

import (
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// inForce ends all programs, and returns the last one.
func (r *rig) inForce() *core.Program {
	r.Helper()
	last := r.program
	for r.program != nil {
		last, r.inTables = r.program, r.program
		r.step(core.Programmed{})
	}
	return last
}

func TestObjectsWithoutMarksApplyAtOnceAndLoseLater(t *testing.T) {
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	if p := r.inForce(); !allows(r, p.Input, 1, "10.9.0.1") || allows(r, p.Input, 1, "10.9.0.2") {
		t.Fatal("a new object is not in force")
	}
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.2")})
	if p := r.inForce(); !allows(r, p.Input, 1, "10.9.0.1") || !allows(r, p.Input, 1, "10.9.0.2") {
		t.Fatal("right after the change both must be allowed: the one may be about to appear elsewhere")
	}
	r.pass(time.Second)
	if p := r.inForce(); allows(r, p.Input, 1, "10.9.0.1") || !allows(r, p.Input, 1, "10.9.0.2") {
		t.Fatal("when nothing came for a while, only the new one must be allowed")
	}
	r.step(core.Deleted{Name: core.Name{Namespace: "shop", Name: "web-0"}})
	if p := r.inForce(); !isolated(r, p.Input, 1) {
		t.Fatal("the pod opened at once when the object went")
	}
	r.pass(time.Second)
	if p := r.inForce(); isolated(r, p.Input, 1) {
		t.Fatal("the pod stays isolated by a policy that is gone")
	}
}

func TestWhatDisappearedIsNotKeptForeverWhilePoliciesKeepChanging(t *testing.T) {
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	r.inForce()
	for i := range 30 {
		r.now = r.now.Add(time.Second / 2)
		r.step(core.Changed{Object: object("web", pods(1), "10.9.0.2", peer(3+i%2))})
		r.inForce()
	}
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.2")})
	if p := r.inForce(); allows(r, p.Input, 1, "10.9.0.1") {
		t.Error("still allowed after fifteen seconds")
	}
}

// TestWhatDisappearsWhileSomethingIsKeptIsKeptToo, for as long as it would be by itself, and with nothing that did not
// apply to it.
func TestWhatDisappearsWhileSomethingIsKeptIsKeptToo(t *testing.T) {
	web := func(name string, numbers []int, peers ...string) core.Changed {
		o := object("web", pods(numbers...), peers...)
		o.Name = name
		return core.Changed{Object: o}
	}
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)), veth(8, linkOf(2)))
	r.step(web("web-a", []int{1}, "10.9.0.1", "10.9.0.2"), web("web-b", nil, "10.9.0.9"))
	r.inForce()
	r.step(web("web-a", []int{1, 2}, "10.9.0.1")) // one peer less, one pod more
	if p := r.inForce(); !allows(t, p.Input, 1, "10.9.0.2") || !isolated(t, p.Input, 2) {
		t.Fatal("the peer is not kept, or the new pod not isolated")
	}
	r.now = r.now.Add(time.Second / 2)
	r.step(web("web-a", []int{1}, "10.9.0.1")) // the pod is about to appear in web-b
	p := r.inForce()
	if !isolated(t, p.Input, 2) {
		t.Fatal("the pod that disappeared second is open")
	}
	if !allows(t, p.Input, 2, "10.9.0.1") || !allows(t, p.Input, 2, "10.9.0.9") || allows(t, p.Input, 2, "10.9.0.2") {
		t.Error("what the pod accepts is not what it did before")
	}
	if !allows(t, p.Input, 1, "10.9.0.2") {
		t.Error("the peer that disappeared first is not kept any more")
	}
	r.pass(time.Second)
	if p := r.inForce(); isolated(t, p.Input, 2) || allows(t, p.Input, 1, "10.9.0.2") {
		t.Error("kept although nothing changed any more")
	}
}

// TestWhatAnotherControllerTakesOverIsKept: the annotations of the one before count the entries of its objects.
func TestWhatAnotherControllerTakesOverIsKept(t *testing.T) {
	ours := object("web", pods(1), "10.9.0.1", "10.9.0.2")
	ours.Annotations = map[string]string{v1alpha1.IngressRulesAnnotation: v1alpha1.EncodeRules([]int{0, 1})}
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: marked(ours)[0]})
	r.inForce()
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	if p := r.inForce(); !allows(t, p.Input, 1, "10.9.0.1") || !allows(t, p.Input, 1, "10.9.0.2") {
		t.Error("what the first controller said is not kept")
	}
}

// TestWhatDisappearsLateIsKeptAsLong: what disappeared long before, and is not kept any more, takes nothing along.
func TestWhatDisappearsLateIsKeptAsLong(t *testing.T) {
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1", "10.9.0.2")})
	r.inForce()
	for i := range 20 { // from the first on, 10.9.0.1 is kept, for ten seconds at most
		r.step(core.Changed{Object: object("web", pods(1), "10.9.0.2", peer(3+i%2))})
		r.inForce()
		r.now = r.now.Add(time.Second / 2)
	}
	r.now = r.now.Add(-time.Second / 10)
	r.step(core.Changed{Object: object("web", pods(1), peer(4))})
	r.inForce()
	r.pass(time.Second / 10)
	if p := r.inForce(); allows(t, p.Input, 1, "10.9.0.1") || !allows(t, p.Input, 1, "10.9.0.2") {
		t.Error("want what disappeared ten seconds ago gone, and what disappeared just now kept")
	}
}

func TestVariantsOfAPolicyAreNotMixed(t *testing.T) {
	for name, refs := range map[string][2]string{
		"by an annotation": {"web.1", "web.2"}, "of an earlier version": {"web:x=1", "web:x=2"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := object(refs[0], pods(1), "10.9.0.1"), object(refs[1], pods(2), "10.9.0.2")
			a.Name, b.Name = "web-a", "web-b"
			if name == "by an annotation" {
				a.Annotations = map[string]string{v1alpha1.PolicyAnnotation: "web"}
				b.Annotations = map[string]string{v1alpha1.PolicyAnnotation: "web"}
			}
			variantsAreNotMixed(t, a, b)
		})
	}
}

// variantsAreNotMixed takes the rules away from b, which are kept for a while, like a's, for the pods of b alone.
func variantsAreNotMixed(t *testing.T, a, b *endpoint) {
	t.Helper()
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)), veth(8, linkOf(2)))
	r.step(core.Listed{Objects: []*endpoint{a, b}})
	r.inForce()
	empty := *b
	empty.Spec.Ingress = nil
	r.step(core.Changed{Object: &empty})
	p := r.inForce()
	if allows(r, p.Input, 1, "10.9.0.2") || allows(r, p.Input, 2, "10.9.0.1") {
		t.Error("a pod of one variant is allowed what the other one says")
	}
	if !allows(r, p.Input, 2, "10.9.0.2") {
		t.Error("what disappeared is not kept")
	}
}

func TestAnObjectThatChangesItsPolicyLeavesTheOldOne(t *testing.T) {
	r := newRig(t, core.Config{Settle: time.Second})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	moved := object("shop", pods(1), "10.9.0.2")
	moved.Name = "web-0"
	r.step(core.Programmed{}, core.Changed{Object: moved})
	r.inForce()
	r.pass(time.Second)
	if p := r.inForce(); allows(r, p.Input, 1, "10.9.0.1") || !allows(r, p.Input, 1, "10.9.0.2") {
		t.Error("the object still speaks for its former policy")
	}
}

func TestWhatWasSeenBeforeIsNoChange(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	o := object("web", pods(1), "10.9.0.1")
	o.ResourceVersion = "5"
	r.step(core.Changed{Object: o})
	r.inForce()
	before := r.programs
	again := *o
	r.step(core.Changed{Object: &again}, core.Listed{Objects: []*endpoint{&again}})
	other := object("other", nil, "10.9.0.2") // selects no pod of this node
	r.step(core.Changed{Object: other})
	if r.programs != before {
		t.Errorf("%d programs for what changes nothing here", r.programs-before)
	}
}

// enlarged are the objects of a policy that selects pod-1, and those of its next version, which selects pod-2 too.
func enlarged() (old, next []*endpoint) {
	return marked(object("web", pods(1), "10.9.0.1"), object("web", nil, "10.9.0.2")),
		marked(object("web", pods(1, 2), "10.9.0.1"), object("web", nil, "10.9.0.3"))
}

// TestPodsThatOnlyAnIncompleteVersionNamesClose: what the complete version before says goes on for its own pods, but
// nobody knows what those may do that it does not name.
func TestPodsThatOnlyAnIncompleteVersionNamesClose(t *testing.T) {
	r := newRig(t, core.Config{Grace: time.Minute})
	r.up(veth(7, linkOf(1)), veth(8, linkOf(2)))
	old, next := enlarged()
	r.step(core.Changed{Object: old[0]}, core.Changed{Object: old[1]})
	r.inForce()
	r.step(core.Changed{Object: next[0]})
	r.inForce()
	r.pass(time.Minute)
	p := r.inForce()
	if p == nil || !isolated(t, p.Input, 2) || allows(t, p.Input, 2, "10.9.0.1") {
		t.Fatal("the pod that only the incomplete version names is not closed after the grace period")
	}
	if !allows(t, p.Input, 1, "10.9.0.1") || !allows(t, p.Input, 1, "10.9.0.2") || allows(t, p.Input, 1, "10.9.0.3") {
		t.Error("the other pod is not in force as before")
	}
	if len(r.reported.Conditions) != 1 || r.reported.Conditions[0].Object != "shop/web" {
		t.Errorf("conditions %v, want one that names the policy", r.reported.Conditions)
	}
	r.step(core.Changed{Object: next[1]})
	if p := r.inForce(); !allows(t, p.Input, 2, "10.9.0.3") || len(r.reported.Conditions) != 0 {
		t.Error("the policy is not in force although it is complete")
	}
}
