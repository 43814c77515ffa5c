package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
)

func TestAddIsAnswered(t *testing.T) {
	pod := core.Pod{Namespace: "shop", Name: "pod-1", UID: "u", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7}
	add := func(r *rig) {
		r.up()
		r.step(core.LinkSeen{Link: veth(7, "veth7")})
		r.step(core.PodAdded{Request: 1, Pod: pod, Deadline: r.now.Add(time.Second)})
		r.want(introduce(7))
		r.step(core.Introduced{Ifindex: 7})
		r.want(core.Attach{Ifindex: 7})
	}
	t.Run("standard: when the policies that are known are in force", func(t *testing.T) {
		r := newRig(t, core.Config{})
		add(r)
		r.step(core.Attached{Ifindex: 7})
		for r.program != nil {
			r.want()
			r.step(core.Programmed{})
		}
		r.want(core.Answer{Request: 1, Programmed: true})
	})
	t.Run("strict: when the interface is closed", func(t *testing.T) {
		r := newRig(t, core.Config{Strict: true})
		add(r)
		r.step(core.Attached{Ifindex: 7})
		r.want(core.Answer{Request: 1})
		if got := r.sets(); got != [2]uint32{bpf.SetUnknown, bpf.SetUnknown} {
			t.Errorf("sets %v of a pod that no policy selects", got)
		}
	})
	t.Run("with an error at the deadline", func(t *testing.T) {
		r := newRig(t, core.Config{})
		add(r)
		r.asked = nil
		r.pass(time.Second)
		if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
			t.Errorf("effects %v, want an error", r.asked)
		}
	})
	t.Run("with an error where the interface goes", func(t *testing.T) {
		r := newRig(t, core.Config{})
		add(r)
		r.step(core.LinkGone{Ifindex: 7})
		if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
			t.Errorf("effects %v, want an error", r.asked)
		}
	})
	t.Run("with an error where there is no such veth", func(t *testing.T) {
		r := newRig(t, core.Config{})
		r.up()
		r.step(core.PodAdded{Request: 1, Pod: pod, Deadline: r.now.Add(time.Second)})
		if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
			t.Errorf("effects %v, want an error", r.asked)
		}
	})
}

// TestAddWaitsForPoliciesThatAreKnownInPart: a pod that only an incomplete policy selects would start open. It waits until
// the policy is complete, or its pods are closed, or nobody waits any longer.
func TestAddWaitsForPoliciesThatAreKnownInPart(t *testing.T) {
	old, next := enlarged()
	pod := core.Pod{Namespace: "shop", Name: "pod-2", Addrs: []netip.Addr{addrOf(2)}, Ifindex: 8}
	add := func(t *testing.T, cfg core.Config, seen ...*endpoint) *rig {
		cfg.Grace = 10 * time.Second
		r := newRig(t, cfg)
		r.up(veth(7, linkOf(1)), veth(8, linkOf(2)))
		for _, o := range seen {
			r.step(core.Changed{Object: o})
		}
		r.inForce()
		r.now = r.now.Add(5 * time.Second)
		r.step(core.PodAdded{Request: 1, Deadline: r.now.Add(8 * time.Second), Pod: pod})
		r.inForce()
		return r
	}
	waits := func(t *testing.T, r *rig) {
		t.Helper()
		if len(r.asked) != 0 {
			t.Fatalf("effects %v, want no answer yet", r.asked)
		}
	}
	for name, seen := range map[string][]*endpoint{
		"with nothing in force": next[:1], "with a version in force that does not select it": {old[0], old[1], next[0]},
	} {
		t.Run(name+": until it is complete", func(t *testing.T) {
			r := add(t, core.Config{}, seen...)
			waits(t, r)
			r.step(core.Changed{Object: next[1]})
			waits(t, r)
			if p := r.inForce(); !isolated(t, p.Input, 2) {
				t.Error("the policy is not in force")
			}
			r.want(core.Answer{Request: 1, Programmed: true})
		})
		t.Run(name+": until it is closed", func(t *testing.T) {
			r := add(t, core.Config{}, seen...)
			r.pass(5 * time.Second)
			waits(t, r)
			if p := r.inForce(); !isolated(t, p.Input, 2) {
				t.Error("the pod is not closed")
			}
			r.want(core.Answer{Request: 1, Programmed: true})
		})
	}
	t.Run("until it does not select the pod", func(t *testing.T) {
		r := add(t, core.Config{}, next[0])
		r.step(core.Deleted{Name: core.Name{Namespace: "shop", Name: "web-0"}})
		r.want(core.Answer{Request: 1, Programmed: true})
	})
	t.Run("until the deadline", func(t *testing.T) {
		r := add(t, core.Config{}, object("db", nil))
		r.asked = nil
		r.step(core.Changed{Object: next[0]}, core.PodAdded{Request: 2, Deadline: r.now.Add(8 * time.Second), Pod: pod})
		r.inForce()
		r.pass(8 * time.Second)
		if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
			t.Errorf("effects %v, want an error", r.asked)
		}
	})
	t.Run("not where the version in force selects it", func(t *testing.T) {
		r := add(t, core.Config{}, next[0], next[1], old[0])
		r.want(core.Answer{Request: 1, Programmed: true})
	})
	t.Run("not in strict mode, but it is told", func(t *testing.T) {
		r := add(t, core.Config{Strict: true}, next[0])
		r.want(core.Answer{Request: 1})
	})
}

func TestCheckTellsWhetherTheInterfaceIsFiltered(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"))
	r.step(core.PodChecked{Request: 1, Ifindex: 7})
	r.want(core.Answer{Request: 1, Programmed: true})
	r.step(core.PodChecked{Request: 2, Ifindex: 8})
	if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
		t.Errorf("effects %v, want an error", r.asked)
	}
}
