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
}
