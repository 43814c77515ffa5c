package core_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
)

func (r *rig) conditions(object string) string {
	var all []string
	for _, c := range r.reported.Conditions {
		if c.Object == object {
			all = append(all, c.Message)
		}
	}
	return strings.Join(all, "; ")
}

func TestLostFilterIsPutBackAtOnce(t *testing.T) {
	const object = "interface 7 eni7"
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"), veth(8, "eni8"))
	r.step(core.FiltersTouched{Ifindex: 7})
	r.want(core.Inspect{Ifindexes: []uint32{7}})
	r.pass(time.Second)
	r.step(core.Inspected{Bare: []uint32{7}})
	r.want(core.Lost{Ifindex: 7, Object: object}, core.Attach{Ifindex: 7})
	r.step(core.PodChecked{Request: 1, Ifindex: 7})
	if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
		t.Errorf("effects %v, want an error: the interface is not filtered", r.asked)
	}
	r.asked = nil
	r.pass(time.Second)
	r.step(core.Attached{Ifindex: 7})
	r.want(core.Regained{Ifindex: 7, Object: object, After: time.Second})
}

func TestLostFilterIsToldWithThePod(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	r.step(core.Changed{Object: object("web", pods(1))}, core.Programmed{})
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}})
	r.want(core.Inspect{Ifindexes: []uint32{7}}, core.Lost{Ifindex: 7, Object: "shop/pod-1"}, core.Attach{Ifindex: 7})
}

func TestWhatOthersRunIsReportedWhileTheyDo(t *testing.T) {
	const object = "interface 7 eni7"
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"), veth(8, "eni8"))
	r.step(core.FiltersTouched{}, core.Inspected{Others: map[uint32]core.Others{7: {Before: "egress somebody", Behind: "ingress another"}, 8: {}}})
	if got := r.conditions(object); !strings.Contains(got, "before: egress somebody") || !strings.Contains(got, "see no packet, as -final-verdict lets none go on: ingress another") {
		t.Errorf("reported %q", got)
	}
	if got := r.conditions("interface 8 eni8"); got != "" {
		t.Errorf("reported %q of an interface without filters of others", got)
	}
	r.step(core.FiltersTouched{Ifindex: 8}, core.Inspected{Others: map[uint32]core.Others{8: {}}})
	if got := r.conditions(object); got == "" {
		t.Error("forgotten when another interface was looked at")
	}
	r.step(core.FiltersTouched{}, core.Inspected{Err: errBroken})
	if got := r.conditions(object); got == "" {
		t.Error("forgotten when nothing was seen")
	}
	r.step(core.FiltersTouched{}, core.Inspected{Others: map[uint32]core.Others{7: {}, 8: {}}})
	if got := r.conditions(object); got != "" {
		t.Errorf("still reported: %q", got)
	}
}

func TestChangesDuringALookMakeOneNextLook(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"), veth(8, "eni8"), veth(9, "docker0"))
	r.step(core.FiltersTouched{})
	r.want(core.Inspect{Ifindexes: []uint32{7, 8}})
	for range 3 {
		r.step(core.FiltersTouched{Ifindex: 8}, core.FiltersTouched{Ifindex: 9})
	}
	r.want()
	r.step(core.Inspected{})
	r.want(core.Inspect{Ifindexes: []uint32{8}})
	r.step(core.Inspected{}, core.FiltersTouched{Ifindex: 9})
	r.want()
}

func TestALookThatFailsIsNamedAndChangesNothing(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Err: errBroken})
	r.want(core.Inspect{Ifindexes: []uint32{7}})
	if !strings.Contains(r.conditions("node"), "broken") {
		t.Errorf("conditions %v, want one of the node", r.reported.Conditions)
	}
	r.step(core.FiltersTouched{}, core.Inspected{})
	if len(r.reported.Conditions) != 0 {
		t.Errorf("conditions %v after a look that succeeded", r.reported.Conditions)
	}
}

// TestFilterLostBeforePoliciesAreKnown: after a restart nothing may change until policies are known, but an interface that
// somebody made bare meanwhile is open, so that is no reason to wait.
func TestFilterLostBeforePoliciesAreKnown(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.Restored{Attached: []uint32{7}}, core.HostListed{Links: []core.Link{veth(7, "eni7")}})
	r.step(core.FiltersTouched{})
	r.want(core.Inspect{Ifindexes: []uint32{7}})
	r.step(core.Inspected{Older: []uint32{7}})
	r.want()
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}})
	r.want(core.Inspect{Ifindexes: []uint32{7}}, core.Lost{Ifindex: 7, Object: "interface 7 eni7"}, core.Attach{Ifindex: 7})
}

func TestProgramsOfAnotherVersionAreReplacedAgain(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Older: []uint32{7}})
	r.want(core.Inspect{Ifindexes: []uint32{7}}, core.Lost{Ifindex: 7, Object: "interface 7 eni7"}, core.Attach{Ifindex: 7})
}

// TestWhatAnotherVersionFiltersIsSaidToBe although this one cannot take its place.
func TestWhatAnotherVersionFiltersIsSaidToBe(t *testing.T) {
	const object = "interface 7 eni7"
	r := newRig(t, core.Config{})
	r.step(core.Restored{Attached: []uint32{7}}, core.HostListed{Links: []core.Link{veth(7, "eni7")}},
		core.Listed{}, core.Programmed{})
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7, Err: errBroken})
	if got := r.conditions(object); !strings.Contains(got, "broken") || strings.Contains(got, "not filtered") {
		t.Errorf("conditions %q, want one that says by what it is filtered", got)
	}
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}}, core.Attached{Ifindex: 7, Err: errBroken})
	if got := r.conditions(object); !strings.Contains(got, "not filtered") {
		t.Errorf("conditions %q of one that is filtered by none", got)
	}
}

// failAttach lets attempts to attach to interface 7 fail, each as soon as it is asked for.
func failAttach(r *rig, times int) {
	r.Helper()
	for range times {
		r.step(core.Attached{Ifindex: 7, Err: errBroken})
		r.pass(time.Minute) // as long as any back-off
	}
}

func TestStrictModeClosesWhatCannotBeFiltered(t *testing.T) {
	r := newRig(t, core.Config{Strict: true})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}})
	r.asked = nil
	failAttach(r, 1)
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7, Err: errBroken})
	r.want(core.SetLink{Ifindex: 7})
	r.step(core.LinkSet{Ifindex: 7})
	if !strings.Contains(r.conditions("interface 7 eni7"), "closed") {
		t.Errorf("conditions %v, want one that says closed", r.reported.Conditions)
	}
	r.pass(time.Minute)
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7, Err: errBroken})
	r.want(core.SetLink{Ifindex: 7}) // said again, in case somebody set it up
	r.step(core.LinkSet{Ifindex: 7})
	r.pass(time.Minute)
	r.asked = nil
	r.step(core.Attached{Ifindex: 7})
	if len(r.asked) != 2 || r.asked[1] != (core.SetLink{Ifindex: 7, Up: true}) {
		t.Errorf("effects %v, want the interface up when it is filtered, not before", r.asked)
	}
	r.step(core.LinkSet{Ifindex: 7, Up: true})
	if len(r.reported.Conditions) != 0 {
		t.Errorf("conditions %v when all is well", r.reported.Conditions)
	}
}

func TestStandardModeGoesOnTrying(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}})
	r.asked = nil
	failAttach(r, 4)
	r.want(core.Attach{Ifindex: 7}, core.Attach{Ifindex: 7}, core.Attach{Ifindex: 7}, core.Attach{Ifindex: 7})
}

func TestClosingThatFailsIsTriedAgain(t *testing.T) {
	r := newRig(t, core.Config{Strict: true, RetryFirst: time.Second, RetryMax: time.Second})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}})
	failAttach(r, 2)
	r.asked = nil
	r.step(core.LinkSet{Ifindex: 7, Err: errBroken})
	r.want()
	if !strings.Contains(r.conditions("interface 7 eni7"), "neither up nor down") {
		t.Errorf("conditions %v, want one that names the failure", r.reported.Conditions)
	}
	r.pass(time.Second)
	r.want(core.SetLink{Ifindex: 7})
}

// TestWhatStoodInTheWayIsGone: then there is no reason to wait for the next attempt.
func TestWhatStoodInTheWayIsGone(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "eni7"))
	r.step(core.FiltersTouched{}, core.Inspected{Bare: []uint32{7}}, core.Attached{Ifindex: 7, Err: errBroken})
	r.asked = nil
	r.step(core.FiltersTouched{Ifindex: 7})
	r.want()
	r.step(core.FiltersTouched{Ifindex: 7, Removed: true})
	r.want(core.Attach{Ifindex: 7})
}

// TestClosedInterfaceKeepsItsRoutes: the kernel drops the routes of an interface that goes down, and an agent that forgot
// them would no longer know which pod is behind it.
func TestClosedInterfaceKeepsItsRoutes(t *testing.T) {
	route := core.Route{Addr: addrOf(1), Ifindex: 7}
	host := core.HostListed{Links: []core.Link{veth(7, "veth7")}}
	policy := object("web", pods(1), "10.9.0.1")
	r := newRig(t, core.Config{Strict: true})
	r.step(core.Restored{Closed: []core.Closed{{Ifindex: 7, Addrs: []netip.Addr{addrOf(1)}}}})
	r.want(introduce(7))
	r.step(host, core.Listed{Objects: []*endpoint{policy}})
	if r.program == nil || !isolated(r.T, r.program.Input, 1) {
		t.Fatal("the pod behind an interface that is closed is not known")
	}
	r.step(core.Programmed{}, core.RouteGone{Route: route}, host, core.RouteGone{Route: route})
	for r.program != nil {
		if !isolated(r.T, r.program.Input, 1) {
			t.Error("the pod is not known any more after its routes went with the interface")
		}
		r.step(core.Programmed{})
	}
	r.step(core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7})
	r.want(core.Attach{Ifindex: 7}, core.SetLink{Ifindex: 7, Up: true}, core.Prune{})
}

// TestStandardModeOpensWhatStrictModeClosed: a node may be switched from one mode to the other.
func TestStandardModeOpensWhatStrictModeClosed(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.Restored{Pods: []bpf.Pod{{Ifindex: 7}}, Closed: []core.Closed{{Ifindex: 7}}})
	r.want(introduce(7), core.SetLink{Ifindex: 7, Up: true})
}
