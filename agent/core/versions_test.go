package core_test

import (
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
)

func TestAVersionIsInForceWhenEverythingUpToItIs(t *testing.T) {
	r := newRig(t, core.Config{})
	want := func(version, when string) {
		t.Helper()
		if got := r.state.InForce(); got != version {
			t.Errorf("%s: version %q is in force, want %q", when, got, version)
		}
	}
	changed := func(policy, version string, numbers ...int) core.Changed {
		o := object(policy, pods(numbers...))
		o.ResourceVersion = version
		return core.Changed{Object: o}
	}
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}}, core.Listed{Version: "10"})
	want("", "before the first program")
	r.step(core.Programmed{})
	want("", "while an interface is not filtered")
	r.step(core.Introduced{Ifindex: 7})
	want("", "while an interface is not filtered yet")
	r.step(core.Attached{Ifindex: 7})
	want("10", "after the first program")
	r.step(changed("elsewhere", "11"))
	want("11", "after news of other nodes' pods")
	r.step(changed("web", "12", 1))
	want("11", "while a policy of this node is being programmed")
	r.step(changed("db", "13", 1), core.Programmed{})
	want("11", "with another change during the program")
	r.step(core.Programmed{Err: errBroken})
	want("11", "after a program failed")
	r.pass(r.wake.Sub(r.now))
	r.step(core.Programmed{})
	want("13", "after it succeeded")
	r.step(core.Deleted{Name: core.Name{Namespace: "shop", Name: "web-0"}, Version: "14"}, core.Programmed{})
	want("13", "while what was deleted may be about to appear in another object")
	r.pass(time.Second)
	r.step(core.Programmed{})
	want("14", "after a deletion")
	r.step(core.LinkSeen{Link: veth(8, linkOf(2))}, changed("web", "15", 1))
	for r.program != nil {
		r.step(core.Programmed{})
	}
	want("14", "while the interface of a new pod is not filtered")
	r.step(core.Introduced{Ifindex: 8, Err: errBroken})
	want("14", "after one failure")
	r.pass(r.wake.Sub(r.now))
	r.step(core.Introduced{Ifindex: 8, Err: errBroken})
	want("15", "after its interface could not be filtered, of which a condition tells")
}

// TestAVersionIsNotInForceWhileAPolicyIsKnownInPart, but for no longer than until a condition tells of it.
func TestAVersionIsNotInForceWhileAPolicyIsKnownInPart(t *testing.T) {
	r := newRig(t, core.Config{Grace: time.Minute})
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}}, core.Listed{Version: "10"}, core.Programmed{},
		core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7})
	three := marked(object("web", pods(1), "10.9.0.1"), object("web", nil, "10.9.0.2"), object("web", nil, "10.9.0.3"))
	for i, o := range three[:2] {
		o.ResourceVersion = []string{"11", "12"}[i]
		r.step(core.Changed{Object: o})
	}
	if got := r.state.InForce(); got != "10" {
		t.Errorf("version %q is in force with an object missing, want 10", got)
	}
	r.pass(time.Minute)
	r.step(core.Programmed{})
	if got := r.state.InForce(); got != "12" || len(r.reported.Conditions) != 1 {
		t.Errorf("version %q is in force after the grace period, want 12 and a condition, not %v", got, r.reported)
	}
}
