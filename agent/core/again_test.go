package core_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// added is how the CNI plugin names pod-N with its interface 7.
func (r *rig) added(request uint64, n int, uid string, l core.Link) core.PodAdded {
	return core.PodAdded{Request: request, Link: l, Deadline: r.now.Add(time.Minute), Pod: core.Pod{
		Namespace: "shop", Name: fmt.Sprintf("pod-%d", n), UID: uid, Addrs: []netip.Addr{addrOf(n)}, Ifindex: 7,
	}}
}

// withPod is a node on which pod-1 has started behind interface 7.
func withPod(t *testing.T, cfg core.Config) *rig {
	r := newRig(t, cfg)
	r.up(veth(7, linkOf(1)))
	r.step(r.added(1, 1, "u1", veth(7, linkOf(1))))
	r.inForce()
	r.asked = nil
	return r
}

// last is the pod of the last program, of which there is one.
func (r *rig) last() enforce.Pod {
	r.Helper()
	r.step(core.Changed{Object: object("unrelated", pods(99))}) // so that something is programmed in any case
	p := r.inForce()
	if p == nil || len(p.Input.Pods) != 1 {
		r.Fatal("not one pod: ", p)
	}
	return p.Input.Pods[0]
}

// TestIndexThatWasGivenAgainIsAnotherInterface, also where nobody has told yet that the one before is gone, or ever will.
func TestIndexThatWasGivenAgainIsAnotherInterface(t *testing.T) {
	for name, c := range map[string]struct {
		n   int
		uid string
	}{
		"another pod": {2, "u2"}, "the next one of its name": {1, "u2"}, "its next sandbox, of another address": {3, "u1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := withPod(t, core.Config{Strict: true})
			before := r.last().Instance
			next := r.added(2, c.n, c.uid, veth(7, linkOf(2)))
			if c.uid == "u1" {
				next.Pod.Name = "pod-1"
			}
			r.step(next)
			r.want(introduce(7))
			r.step(core.PodChecked{Request: 3, Ifindex: 7})
			if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
				t.Errorf("effects %v, want an error: nothing is on the interface yet", r.asked)
			}
			r.asked = nil
			r.step(core.Introduced{Ifindex: 7})
			r.want(core.Attach{Ifindex: 7})
			got := r.last()
			if got.Instance == before || got.Instance != r.introduced[7] || got.UID != c.uid || !slices.Equal(got.Addrs, next.Pod.Addrs) {
				t.Errorf("pod %+v, want %+v in another instance than %d", got, next.Pod, before)
			}
			r.want()
			r.step(core.Attached{Ifindex: 7})
			r.want(core.Answer{Request: 2, Programmed: true})
		})
	}
}

// TestEntryOfAnotherAddressIsAnotherPods: an agent that was restarted knows pods only by their addresses.
func TestEntryOfAnotherAddressIsAnotherPods(t *testing.T) {
	for n, want := range map[int]core.Effect{1: nil, 2: introduce(7)} {
		r := newRig(t, core.Config{})
		r.step(core.Restored{Attached: []uint32{7}, Pods: []bpf.Pod{{Ifindex: 7, Instance: 5, IP4: addrOf(1)}}})
		r.step(core.HostListed{Links: []core.Link{veth(7, "veth7")}})
		r.step(r.added(1, n, "u", veth(7, "veth7")))
		if want == nil {
			r.want()
		} else {
			r.want(want)
		}
	}
}

// TestPodThatIsNamedAgainIsTheSame: the runtime may ask twice, and what the pod has opened counts.
func TestPodThatIsNamedAgainIsTheSame(t *testing.T) {
	r := withPod(t, core.Config{})
	before := r.last().Instance
	again := r.added(2, 1, "u1", veth(7, linkOf(1)))
	again.Pod.Addrs = append(again.Pod.Addrs, netip.MustParseAddr("fd00::1"))
	for _, in := range []core.PodAdded{r.added(2, 1, "u1", veth(7, linkOf(1))), again} {
		r.step(in)
		r.inForce()
		r.want(core.Answer{Request: 2, Programmed: true})
	}
	if got := r.last().Instance; got != before {
		t.Errorf("instance %d, was %d", got, before)
	}
}

// TestLateNewsOfTheInterfaceBefore plays what the kernel tells of an index that is given again, and what the CNI plugin says of the new
// interface, in every order that can be.
func TestLateNewsOfTheInterfaceBefore(t *testing.T) {
	for _, name := range []string{linkOf(2), linkOf(1)} { // the VPC CNI calls the interface of a pod of the same name the same
		old, next := veth(7, linkOf(1)), veth(7, name)
		told := []core.Input{
			core.LinkSeen{Link: old}, core.LinkGone{Ifindex: 7, Name: old.Name}, core.LinkSeen{Link: veth(7, "tmp")}, core.LinkSeen{Link: next},
		}
		for _, tracked := range []bool{true, false} {
			for first := range len(told) + 1 {
				for second := first; second <= len(told); second++ {
					if !tracked && name == linkOf(1) {
						continue
					}
					t.Run(fmt.Sprint(name, tracked, first, second), func(t *testing.T) {
						r := withPod(t, core.Config{Strict: first%2 == 0})
						if !tracked { // what had the index before was no pod's
							r = newRig(t, core.Config{})
							r.up(veth(7, "docker0"))
							told[0], told[1] = core.LinkSeen{Link: veth(7, "docker0")}, core.LinkGone{Ifindex: 7, Name: "docker0"}
						}
						stream := slices.Clone(told)
						stream = slices.Insert(stream, second, core.Input(r.added(3, 2, "u2", next)))
						stream = slices.Insert(stream, first, core.Input(r.added(2, 2, "u2", next)))
						for _, in := range stream {
							r.step(in)
							r.settle(2, 3)
						}
						got := r.last()
						if got.Name != "pod-2" || got.UID != "u2" || got.Instance != r.introduced[7] {
							t.Errorf("pod %+v, want pod-2 in the instance %d", got, r.introduced[7])
						}
						r.step(core.PodChecked{Request: 4, Ifindex: 7})
						r.want(core.Answer{Request: 4, Programmed: true})
						r.step(core.LinkGone{Ifindex: 7, Name: name})
						r.want(core.Detach{Ifindex: 7})
					})
				}
			}
		}
	}
}

// settle does what is asked for, until nothing is, and sees that certain requests are answered without an error.
func (r *rig) settle(requests ...uint64) {
	r.Helper()
	for len(r.asked) > 0 || r.program != nil {
		asked := r.asked
		r.asked = nil
		for _, e := range asked {
			switch e := e.(type) {
			case core.Introduce:
				r.step(core.Introduced{Ifindex: e.Pod.Ifindex, Instance: e.Pod.Instance})
			case core.Attach:
				r.step(core.Attached{Ifindex: e.Ifindex, Instance: e.Instance})
			case core.Detach:
				r.step(core.Detached{Ifindex: e.Ifindex, Lives: true})
			case core.Answer:
				if slices.Contains(requests, e.Request) && e.Err != nil {
					r.Errorf("%+v", e)
				}
			}
		}
		r.inForce()
	}
}

// TestOnlyOneInterfaceOutlivesWhatIsTold: where the kernel's word of the interface before was lost, that of the pod's own is believed as soon
// as an attempt to attach finds none.
func TestOnlyOneInterfaceOutlivesWhatIsTold(t *testing.T) {
	r := withPod(t, core.Config{})
	r.step(r.added(2, 2, "u2", veth(7, linkOf(2))))
	r.settle(2)
	r.step(core.LinkGone{Ifindex: 7, Name: linkOf(2)})
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7, Gone: true})
	r.want(core.Detach{Ifindex: 7})
	if p := r.inForce(); p == nil || len(p.Input.Pods) > 0 {
		t.Errorf("program %+v, want one without pods", p)
	}
}

// TestIndexGivenMoreThanOnce: each one that is gone is told of.
func TestIndexGivenMoreThanOnce(t *testing.T) {
	r := withPod(t, core.Config{})
	for n := 2; n <= 4; n++ {
		r.step(r.added(uint64(n), n, fmt.Sprint("u", n), veth(7, "eni7")))
	}
	for range 3 {
		r.step(core.LinkGone{Ifindex: 7, Name: "eni7"})
	}
	r.settle(4)
	if got := r.last(); got.Name != "pod-4" {
		t.Errorf("pod %+v, want pod-4", got)
	}
	r.step(core.LinkGone{Ifindex: 7, Name: "eni7"})
	r.want(core.Detach{Ifindex: 7})
}

// TestResultsForTheInterfaceBeforeCountForNothing: what was under way for it ends later.
func TestResultsForTheInterfaceBeforeCountForNothing(t *testing.T) {
	t.Run("introduced", func(t *testing.T) {
		r := newRig(t, core.Config{})
		r.up()
		r.step(r.added(1, 1, "u1", veth(7, linkOf(1))))
		former := r.introduced[7]
		r.step(r.added(2, 2, "u2", veth(7, linkOf(2))))
		if len(r.asked) != 3 || r.introduced[7] == former {
			t.Fatalf("effects %v, want the first request refused, and each interface introduced", r.asked)
		}
		r.asked = nil
		r.step(core.Introduced{Ifindex: 7, Instance: former})
		r.want()
		r.step(core.Introduced{Ifindex: 7})
		r.want(core.Attach{Ifindex: 7})
	})
	for name, late := range map[string]core.Attached{
		"attached": {Ifindex: 7}, "not attached": {Ifindex: 7, Err: errBroken}, "found gone": {Ifindex: 7, Gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{})
			r.up()
			r.step(r.added(1, 1, "u1", veth(7, linkOf(1))), core.Introduced{Ifindex: 7})
			late.Instance = r.attached[7]
			r.step(r.added(2, 2, "u2", veth(7, linkOf(2))), core.Introduced{Ifindex: 7})
			r.inForce()
			r.asked = nil
			r.step(late)
			r.want()
			r.step(core.Attached{Ifindex: 7})
			r.want(core.Answer{Request: 2, Programmed: true})
		})
	}
}
