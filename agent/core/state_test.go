package core_test

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rig plays inputs to a State and sorts its effects.
type rig struct {
	*testing.T
	state    *core.State
	now      time.Time
	program  *core.Program // asked for and not answered
	inTables *core.Program // the last that succeeded
	programs int
	asked    []core.Effect // other effects since the last call of take
	// introduced and attached are the instances of the last Introduce and Attach of each interface.
	introduced, attached map[uint32]uint32
	reported             core.Report
	wake                 time.Time
}

func newRig(t *testing.T, cfg core.Config) *rig {
	cfg.NodeAddrs = nodeAddrs
	if cfg.LinkPrefixes == nil {
		cfg.LinkPrefixes = []string{"eni"}
	}
	return &rig{T: t, state: core.New(cfg), now: start, introduced: map[uint32]uint32{}, attached: map[uint32]uint32{}}
}

func (r *rig) step(inputs ...core.Input) {
	r.Helper()
	for _, in := range inputs {
		if _, ok := in.(core.Programmed); ok {
			r.program = nil
		}
		for _, e := range r.state.Step(r.now, r.complete(in)) {
			r.sort(e)
		}
	}
}

// complete makes a result that of the last effect, unless it says of which.
func (r *rig) complete(in core.Input) core.Input {
	switch in := in.(type) {
	case core.Introduced:
		in.Instance = stdcmp.Or(in.Instance, r.introduced[in.Ifindex])
		return in
	case core.Attached:
		in.Instance = stdcmp.Or(in.Instance, r.attached[in.Ifindex])
		return in
	}
	return in
}

func (r *rig) sort(e core.Effect) {
	r.Helper()
	switch e := e.(type) {
	case core.Program:
		if r.program != nil {
			r.Fatal("a second Program while one is under way")
		}
		r.program = &e
		r.programs++
	case core.Report:
		r.reported = e
	case core.Wake:
		r.wake = e.At
	case core.Introduce:
		r.introduced[e.Pod.Ifindex] = e.Pod.Instance
		r.asked = append(r.asked, e)
	case core.Attach:
		r.attached[e.Ifindex] = e.Instance
		r.asked = append(r.asked, e)
	default:
		r.asked = append(r.asked, e)
	}
}

// want compares the effects since the last call, but for programs, reports and wakes.
func (r *rig) want(effects ...core.Effect) {
	r.Helper()
	if diff := cmp.Diff(effects, r.asked, cmpopts.IgnoreFields(bpf.Pod{}, "Instance"),
		cmpopts.IgnoreFields(core.Attach{}, "Instance"), cmpopts.EquateErrors(),
		cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		r.Errorf("effects (-want +got):\n%s", diff)
	}
	r.asked = nil
}

func (r *rig) pass(d time.Duration) {
	r.Helper()
	r.now = r.now.Add(d)
	r.step(core.Tick{})
}

// up brings a node up with the given interfaces, all attached and programmed.
func (r *rig) up(links ...core.Link) {
	r.Helper()
	r.step(core.Listed{}, core.HostListed{Links: links})
	for _, l := range links {
		r.step(core.Introduced{Ifindex: l.Ifindex}, core.Attached{Ifindex: l.Ifindex})
	}
	for r.program != nil {
		r.step(core.Programmed{})
	}
	r.step(core.Pruned{})
	r.asked = nil
}

func veth(ifindex uint32, name string) core.Link {
	return core.Link{Ifindex: ifindex, Name: name, Veth: true}
}

func introduce(ifindex uint32) core.Introduce {
	return core.Introduce{Pod: bpf.Pod{Ifindex: ifindex, MayRoute: true}}
}

var errBroken = errors.New("broken")

func TestNothingIsProgrammedBeforePoliciesAndInterfacesAreKnown(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}})
	if r.program != nil || r.state.Ready() {
		t.Error("programmed before the PolicyEndpoints were listed")
	}
	r.step(core.Listed{Objects: []*endpoint{object("web", pods(1), "10.9.0.1")}})
	if r.program == nil {
		t.Fatal("not programmed although everything is known")
	}
	r.step(core.Programmed{})
	if r.state.Ready() {
		t.Error("ready although the interface is not filtered")
	}
	r.step(core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7})
	if !r.state.Ready() {
		t.Error("not ready although everything is in force")
	}
	r.step(core.LinkSeen{Link: veth(8, linkOf(2))})
	if !r.state.Ready() {
		t.Error("not ready while another pod starts")
	}
}

func TestAnInterfaceThatCannotBeFilteredKeepsNobodyFromBeingReady(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}}, core.Listed{}, core.Programmed{}, core.Introduced{Ifindex: 7})
	for failures := range 3 {
		if got := r.state.Ready(); got != (failures >= 2) {
			t.Errorf("after %d failures ready: %t", failures, got)
		}
		r.step(core.Attached{Ifindex: 7, Err: errBroken})
		r.pass(time.Minute)
	}
	if len(r.reported.Conditions) != 1 {
		t.Errorf("conditions %v", r.reported.Conditions)
	}
}

// TestReadyMeansByTheTablesOfThisVersion: the programs of another one, which filter until they are replaced, may judge by others.
func TestReadyMeansByTheTablesOfThisVersion(t *testing.T) {
	entry := bpf.Pod{Ifindex: 7, Instance: 99, IP4: addrOf(1)}
	r := newRig(t, core.Config{})
	r.step(core.Restored{Former: []bpf.Pod{entry}, Attached: []uint32{7}}, core.HostListed{Links: []core.Link{veth(7, "eni7")}})
	r.step(core.Listed{Version: "42"}, core.Programmed{})
	r.want(core.Attach{Ifindex: 7})
	if r.state.Ready() || r.state.InForce() != "" {
		t.Errorf("ready %t, %q in force while another version's programs judge", r.state.Ready(), r.state.InForce())
	}
	r.step(core.Attached{Ifindex: 7})
	if !r.state.Ready() || r.state.InForce() != "42" {
		t.Errorf("ready %t, %q in force once they are replaced", r.state.Ready(), r.state.InForce())
	}
}

func TestInterfaceIsFilteredFromTheMomentItExists(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.HostListed{}, core.LinkSeen{Link: veth(7, "eni7")})
	r.want(introduce(7))
	r.step(core.Introduced{Ifindex: 7})
	r.want(core.Attach{Ifindex: 7})
	r.step(core.LinkSeen{Link: veth(8, "docker0")}, core.LinkSeen{Link: core.Link{Ifindex: 9, Name: "eni9"}})
	r.want()
}

// TestInterfacesOfPodsAreToldByWhatTheyAre: without prefixes, it takes an end in another namespace and a route to it, in
// whatever order they are seen, or a name that only the VPC CNI gives.
func TestInterfacesOfPodsAreToldByWhatTheyAre(t *testing.T) {
	leaf := func(ifindex uint32, name string) core.Link {
		return core.Link{Ifindex: ifindex, Name: name, Veth: true, Leaf: true}
	}
	link := func(l core.Link) core.Input { return core.LinkSeen{Link: l} }
	for name, c := range map[string]struct {
		inputs   []core.Input
		filtered bool
	}{
		"a veth with a route":                         {[]core.Input{link(leaf(7, "veth7")), route(1, 7)}, true},
		"a route, and then its veth":                  {[]core.Input{route(1, 7), link(leaf(7, "cali7"))}, true},
		"both from the start":                         {[]core.Input{listed(leaf(7, "lxc7"), 1)}, true},
		"a veth of the VPC CNI's without a route":     {[]core.Input{link(leaf(7, "vlan0d7763386da"))}, true},
		"a veth without a route":                      {[]core.Input{link(leaf(7, "veth7"))}, false},
		"a veth, and a route over another":            {[]core.Input{link(leaf(7, "veth7")), route(1, 8)}, false},
		"a veth whose other end is here, or a router": {[]core.Input{link(veth(7, "veth7")), route(1, 7)}, false},
		"no veth":                             {[]core.Input{link(core.Link{Ifindex: 7, Name: "eth0"}), route(1, 7)}, false},
		"a name that is hardly the VPC CNI's": {[]core.Input{link(leaf(7, "vlan7763386"))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{LinkPrefixes: []string{}})
			r.step(core.HostListed{})
			r.step(c.inputs...)
			if c.filtered {
				r.want(introduce(7))
			} else {
				r.want()
			}
		})
	}
}

// listed is a host with one interface and the route to a pod over it.
func listed(l core.Link, pod int) core.HostListed {
	return core.HostListed{Links: []core.Link{l}, Routes: []core.Route{{Addr: addrOf(pod), Ifindex: l.Ifindex}}}
}

func TestPrefixesRestrictWhatCountsAsAPods(t *testing.T) {
	r := newRig(t, core.Config{LinkPrefixes: []string{"cali"}})
	r.step(core.HostListed{}, core.LinkSeen{Link: core.Link{Ifindex: 7, Name: "veth7", Veth: true, Leaf: true}}, route(1, 7))
	r.want()
	r.step(core.LinkSeen{Link: veth(8, "cali8")})
	r.want(introduce(8))
}

func TestFailedAttachIsTriedAgainAndNamed(t *testing.T) {
	r := newRig(t, core.Config{RetryFirst: time.Second})
	r.up()
	r.step(core.LinkSeen{Link: veth(7, "eni7")}, core.Introduced{Ifindex: 7, Err: errBroken})
	r.want(introduce(7))
	if len(r.reported.Conditions) != 1 {
		t.Errorf("conditions %v, want one that names the interface", r.reported.Conditions)
	}
	r.pass(time.Second)
	r.want(introduce(7))
	r.step(core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7, Err: errBroken})
	r.want(core.Attach{Ifindex: 7})
	r.pass(time.Second)
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7})
	if len(r.reported.Conditions) != 0 {
		t.Errorf("conditions %v after success", r.reported.Conditions)
	}
}

func TestInterfaceThatIsGoneLeavesNothing(t *testing.T) {
	r := newRig(t, core.Config{RetryFirst: time.Second})
	r.up(veth(7, "eni7"), veth(8, "eni8"))
	r.step(core.LinkGone{Ifindex: 7})
	r.want(core.Detach{Ifindex: 7})
	if r.program == nil || len(r.program.Input.Pods) != 1 || r.program.Input.Pods[0].Ifindex != 8 {
		t.Fatalf("program %+v, want one with interface 8 only", r.program)
	}
	r.step(core.Detached{Ifindex: 7, Err: errBroken})
	r.pass(time.Second)
	r.want(core.Detach{Ifindex: 7})
	r.step(core.Detached{Ifindex: 7}, core.Programmed{})
	r.pass(time.Hour)
	r.want()
}

// TestListTellsNothingOfWhatCameLater: while it is read, the CNI plugin may name a pod whose interface did not exist
// yet.
func TestListTellsNothingOfWhatCameLater(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up()
	begun := r.now
	r.pass(time.Second)
	pod := core.Pod{Namespace: "shop", Name: "pod-1", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7}
	add := func(request uint64) core.Input {
		return core.PodAdded{Request: request, Pod: pod, Deadline: r.now.Add(time.Minute)}
	}
	r.step(core.LinkSeen{Link: veth(7, "veth7")}, add(1), core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7})
	r.inForce()
	r.asked = nil
	r.step(core.HostListed{Begun: begun})
	r.want()
	r.wantPods(enforce.Pod{Namespace: "shop", Name: "pod-1", Ifindex: 7, Addrs: []netip.Addr{addrOf(1)}})
	r.step(add(2))
	r.inForce()
	r.want(core.Answer{Request: 2, Programmed: true})
	r.pass(time.Second)
	r.step(core.HostListed{Begun: r.now})
	r.want(core.Detach{Ifindex: 7})
}

// TestInterfaceThatLivesKeepsWhatItHas: what is removed for an index is not removed while there is an interface of that
// index, and is as soon as that has gone, too.
func TestInterfaceThatLivesKeepsWhatItHas(t *testing.T) {
	for name, gone := range map[string]core.Input{"told": core.LinkGone{Ifindex: 7}, "not listed": core.HostListed{}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{})
			r.step(core.Restored{Pinned: []uint32{7}}, core.HostListed{Links: []core.Link{veth(7, "docker0")}})
			r.want(core.Detach{Ifindex: 7})
			r.step(core.Detached{Ifindex: 7, Lives: true})
			r.pass(time.Hour)
			r.want()
			r.step(gone)
			r.want(core.Detach{Ifindex: 7})
			r.step(core.Detached{Ifindex: 7}, gone)
			r.want()
		})
	}
}

func TestRestartChangesNothingUntilPoliciesAreKnown(t *testing.T) {
	addr := netip.MustParseAddr("10.1.0.1")
	r := newRig(t, core.Config{})
	r.step(core.Restored{
		Pods:     []bpf.Pod{{Ifindex: 7, Instance: 99, IP4: addr, Sets: [2]uint32{0, 5}}, {Ifindex: 6, Instance: 5}},
		Attached: []uint32{7}, Pinned: []uint32{6, 7},
	})
	r.want(core.Detach{Ifindex: 6})
	r.step(core.HostListed{Links: []core.Link{veth(7, "eni7")}})
	r.want()
	r.step(core.Listed{Objects: []*endpoint{object("web", pods(1), "10.9.0.1")}})
	r.want()
	got := r.program.Input.Pods
	if len(got) != 1 || got[0].Instance != 99 || got[0].Name != "pod-1" || got[0].Unknown || got[0].MayRoute {
		t.Errorf("pods %+v, want pod-1 in the instance that its flows know", got)
	}
	r.step(core.Programmed{})
	r.want(core.Attach{Ifindex: 7})
	r.step(core.Attached{Ifindex: 7})
	r.want(core.Prune{})
}

// TestHalfAFilterIsMadeWholeAtOnce: the programs of one direction tell that it is the same interface, so that its entry
// holds, and the other direction is open.
func TestHalfAFilterIsMadeWholeAtOnce(t *testing.T) {
	entry := bpf.Pod{Ifindex: 7, Instance: 99, IP4: addrOf(1), Sets: [2]uint32{5, 5}}
	r := newRig(t, core.Config{})
	r.step(core.Restored{Half: []uint32{7}, Pinned: []uint32{7}, Pods: []bpf.Pod{entry}})
	r.want(core.Attach{Ifindex: 7})
	r.step(core.PodChecked{Request: 1, Ifindex: 7})
	if a, ok := r.asked[0].(core.Answer); !ok || a.Err == nil {
		t.Errorf("effects %v, want an error: the interface is not filtered yet", r.asked)
	}
	r.asked = nil
	r.step(core.HostListed{Links: []core.Link{veth(7, "veth7")}}, core.Attached{Ifindex: 7})
	r.step(core.Listed{Objects: []*endpoint{object("web", pods(1))}})
	if p := r.inForce().Input.Pods; len(p) != 1 || p[0].Instance != 99 || p[0].Name != "pod-1" || p[0].Unknown {
		t.Errorf("pods %+v, want pod-1 in the instance that its flows know", p)
	}
}

// TestHalfAFilterOfOtherTablesIsLeftAlone until those of this version say what it enforces: its programs would open the direction that is
// filtered. What opens nothing is done at once.
func TestHalfAFilterOfOtherTablesIsLeftAlone(t *testing.T) {
	lost := core.Lost{Ifindex: 7, Object: "interface 7 veth7"}
	half := []uint32{7}
	noted := []bpf.Pod{{Ifindex: 7, Instance: 99, IP4: addrOf(1)}}
	inForce := []bpf.Pod{{Ifindex: 7, Instance: 99, IP4: addrOf(1), Sets: [2]uint32{5, 5}}}
	start := func(cfg core.Config, restored core.Restored) *rig {
		r := newRig(t, cfg)
		r.step(restored, core.HostListed{Links: []core.Link{veth(7, "veth7")}})
		return r
	}
	looksHalf := func(r *rig) {
		r.step(core.FiltersTouched{})
		r.want(core.Inspect{Ifindexes: half})
		r.step(core.Inspected{Half: half})
	}
	open := func(r *rig) bool { return strings.Contains(fmt.Sprint(r.reported.Conditions), "open in one direction") }
	ends := func(r *rig, more ...core.Effect) {
		t.Helper()
		r.step(core.Listed{Objects: []*endpoint{object("web", pods(1))}})
		r.want()
		if r.program == nil || !open(r) {
			t.Fatalf("program %v, conditions %v before anything is in force", r.program, r.reported.Conditions)
		}
		r.step(core.Programmed{})
		r.want(core.Attach{Ifindex: 7})
		r.step(core.Attached{Ifindex: 7})
		r.want(append(more, core.Prune{})...)
		if open(r) {
			t.Errorf("conditions %v when it is filtered", r.reported.Conditions)
		}
	}
	for name, pods := range map[string][]bpf.Pod{"of a pod that is noted": noted, "of one that is not": nil} {
		t.Run(name, func(t *testing.T) {
			r := start(core.Config{}, core.Restored{Half: half, Former: pods})
			r.want()
			looksHalf(r)
			r.want()
			ends(r)
		})
		t.Run(name+", in strict mode", func(t *testing.T) {
			r := start(core.Config{Strict: true}, core.Restored{Half: half, Former: pods})
			r.want(introduce(7))
			r.step(core.Introduced{Ifindex: 7})
			r.want(core.Attach{Ifindex: 7})
		})
	}
	t.Run("until nothing is left of it", func(t *testing.T) {
		r := start(core.Config{}, core.Restored{Half: half, Former: noted})
		r.step(core.FiltersTouched{}, core.Inspected{Bare: half})
		r.want(core.Inspect{Ifindexes: half}, lost, core.Attach{Ifindex: 7})
	})
	t.Run("lost later", func(t *testing.T) {
		r := start(core.Config{}, core.Restored{Attached: half, Former: noted})
		looksHalf(r)
		r.want(lost)
		looksHalf(r)
		r.want()
		ends(r, core.Regained{Ifindex: 7, Object: "shop/pod-1"})
		looksHalf(r)
		r.want(core.Lost{Ifindex: 7, Object: "shop/pod-1"}, core.Attach{Ifindex: 7})
	})
	t.Run("lost later, in strict mode", func(t *testing.T) {
		r := start(core.Config{Strict: true}, core.Restored{Attached: half, Former: noted})
		looksHalf(r)
		r.want(lost, core.Attach{Ifindex: 7})
	})
	t.Run("not where its entry is in force", func(t *testing.T) {
		r := start(core.Config{}, core.Restored{Attached: half, Pods: inForce})
		looksHalf(r)
		r.want(lost, core.Attach{Ifindex: 7})
	})
}

func TestRestartWaitsForIncompletePoliciesThenClosesTheirPods(t *testing.T) {
	set := marked(object("web", pods(1), "10.9.0.1"), object("web", nil, "10.9.0.2"))
	r := newRig(t, core.Config{Grace: time.Minute})
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}}, core.Listed{Objects: set[:1]})
	if r.program != nil {
		t.Fatal("programmed although a policy is incomplete")
	}
	r.pass(time.Minute)
	if r.program == nil || allows(r.T, r.program.Input, 1, "10.9.0.1") || !isolated(r.T, r.program.Input, 1) {
		t.Fatal("the pod of a policy that stays incomplete is not closed")
	}
	if len(r.reported.Conditions) != 1 || r.reported.Conditions[0].Object != "shop/web" {
		t.Errorf("conditions %v, want one that names the policy", r.reported.Conditions)
	}
	r.step(core.Programmed{}, core.Changed{Object: set[1]})
	if !allows(r.T, r.program.Input, 1, "10.9.0.1") || len(r.reported.Conditions) != 0 {
		t.Error("the policy is not in force although it is complete")
	}
}
