package core_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// wantPods compares the pods of the program in force, but for their instances.
func (r *rig) wantPods(want ...enforce.Pod) {
	r.Helper()
	p := r.inForce()
	if p == nil {
		r.Fatal("nothing was programmed")
	}
	if diff := cmp.Diff(want, p.Input.Pods, cmpopts.IgnoreFields(enforce.Pod{}, "Instance"),
		cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		r.Errorf("pods (-want +got):\n%s", diff)
	}
}

func route(n int, ifindex uint32) core.RouteSeen {
	return core.RouteSeen{Route: core.Route{Addr: addrOf(n), Ifindex: ifindex}}
}

func TestPodIsFoundByTheNameOfItsInterface(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)), veth(8, linkOf(2)))
	r.step(core.Changed{Object: object("web", pods(1))})
	r.wantPods(enforce.Pod{Namespace: "shop", Name: "pod-1", Ifindex: 7, Addrs: []netip.Addr{addrOf(1)}},
		enforce.Pod{Ifindex: 8, MayRoute: true, Unknown: true})
}

func TestPodIsFoundByTheRouteToItsAddress(t *testing.T) {
	r := newRig(t, core.Config{Finder: core.ByRoute{}})
	r.up()
	r.step(core.Changed{Object: object("web", pods(1))}, core.LinkSeen{Link: veth(7, "veth1234")}, route(1, 7))
	r.wantPods(enforce.Pod{Namespace: "shop", Name: "pod-1", Ifindex: 7, Addrs: []netip.Addr{addrOf(1)}})
	r.want(introduce(7))
	r.step(core.LinkSeen{Link: core.Link{Ifindex: 9, Name: "eth0"}}, route(2, 9),
		core.Changed{Object: object("db", pods(2))})
	r.inForce()
	r.want()
}

func TestPodOfTheCNIPluginIsKnownBeforeAnyPolicySelectsIt(t *testing.T) {
	pod := core.Pod{Namespace: "shop", Name: "pod-1", UID: "u", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7}
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			r := newRig(t, core.Config{Strict: strict})
			r.up(veth(7, "veth7"))
			r.step(core.PodAdded{Request: 1, Pod: pod, Deadline: r.now.Add(1)})
			want := enforce.Pod{Namespace: "shop", Name: "pod-1", UID: "u", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7}
			r.wantPods(want)
			if unknown := r.sets()[0] == bpf.SetUnknown; unknown != strict {
				t.Errorf("the pod is left to the mode: %t", unknown)
			}
			r.step(core.Changed{Object: object("web", pods(1))})
			r.wantPods(want)
			if r.sets()[0] == bpf.SetUnknown {
				t.Error("the pod is left to the mode while a policy selects it")
			}
		})
	}
}

// sets are those of the only pod in the tables that are in force.
func (r *rig) sets() [2]uint32 {
	r.Helper()
	r.inForce()
	built, err := enforce.Build(r.inTables.Input, bpf.Capacity{})
	if err != nil || len(built.Image.Pods) != 1 {
		r.Fatalf("%d pods (%v), want one", len(built.Image.Pods), err)
	}
	return built.Image.Pods[0].Sets
}

// TestNothingIsSaidOfAPodByWhatIsSaidOfItsPredecessor: the interface has the name of the pod that policies are about, and another address.
func TestNothingIsSaidOfAPodByWhatIsSaidOfItsPredecessor(t *testing.T) {
	for _, strict := range []bool{false, true} {
		r := newRig(t, core.Config{Strict: strict})
		r.up()
		r.step(core.Changed{Object: object("web", pods(1))}, core.LinkSeen{Link: veth(7, linkOf(1))}, route(9, 7))
		want := bpf.SetOpen
		if strict {
			want = bpf.SetUnknown
		}
		if got := r.sets(); got != [2]uint32{want, want} {
			t.Errorf("strict %t: sets %v, want %d", strict, got, want)
		}
		r.step(core.Changed{Object: object("web", pods(9))}, core.LinkSeen{Link: veth(7, linkOf(9))})
		if got := r.sets(); got[flow.Ingress] != bpf.SetClosed {
			t.Errorf("strict %t: sets %v of a pod whose ingress is isolated", strict, got)
		}
	}
}

// A policy that was resolved before an address or a name went to another pod must not count for the new one.
func TestStaleClaimsCountForNothing(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, "veth7"))
	r.step(core.LinkSeen{Link: veth(7, "veth7")}, route(1, 7),
		core.PodAdded{Request: 1, Deadline: r.now.Add(1), Pod: core.Pod{
			Namespace: "shop", Name: "other", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7,
		}},
		core.Changed{Object: object("web", pods(1), "10.9.0.1")})
	p := r.inForce()
	if p.Input.Pods[0].Name != "other" || isolated(t, p.Input, 1) {
		t.Errorf("pod %+v counts as the former owner of its address", p.Input.Pods[0])
	}
}

func TestContradictingClaimsCloseThePod(t *testing.T) {
	r := newRig(t, core.Config{Finder: core.ByRoute{}})
	r.up(veth(7, "eni7"))
	other := object("db", pods(2), "10.9.0.1")
	other.Spec.PodSelectorEndpoints[0].PodIP = v1alpha1.NetworkAddress(addrOf(1).String())
	r.step(route(1, 7), core.Changed{Object: object("web", pods(1), "10.9.0.1")}, core.Changed{Object: other})
	p := r.inForce()
	if !isolated(t, p.Input, 1) || allows(t, p.Input, 1, "10.9.0.1") {
		t.Error("the pod is not closed although it is not known whose policies count")
	}
	if len(r.reported.Conditions) != 1 || !strings.Contains(r.reported.Conditions[0].Message, "shop/pod-2") {
		t.Errorf("conditions %v, want one that names both pods", r.reported.Conditions)
	}
}

func TestRestartedAgentKnowsPodsByTheirEntries(t *testing.T) {
	r := newRig(t, core.Config{})
	r.step(core.Restored{Pods: []bpf.Pod{{Ifindex: 7, Instance: 5, IP4: addrOf(1)}}, Attached: []uint32{7}})
	r.step(core.HostListed{Links: []core.Link{veth(7, "veth7")}},
		core.Listed{Objects: []*endpoint{object("web", pods(1))}})
	r.wantPods(enforce.Pod{Namespace: "shop", Name: "pod-1", Ifindex: 7, Addrs: []netip.Addr{addrOf(1)}})
}

func TestHostNetworkPodsAreNobodys(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	o := object("web", pods(1))
	o.Spec.PodSelectorEndpoints[0].PodIP = o.Spec.PodSelectorEndpoints[0].HostIP
	r.step(core.Changed{Object: o})
	r.wantPods(enforce.Pod{Ifindex: 7, MayRoute: true, Unknown: true})
}

func TestVPCLinkNameIsThatOfTheVPCCNI(t *testing.T) {
	// printf default.web-0 | sha1sum
	if got := core.VPCLinkName("eni", core.Name{Namespace: "default", Name: "web-0"}); got != "eni0d7763386da" {
		t.Errorf("name %s", got)
	}
}

func TestStripKeepsWhatTheNodeNeeds(t *testing.T) {
	elsewhere := v1alpha1.PodEndpoint{Namespace: "shop", Name: "x", PodIP: "10.2.0.1", HostIP: "10.0.0.2"}
	unreadable := v1alpha1.PodEndpoint{Namespace: "shop", Name: "y", PodIP: "10.2.0.2", HostIP: "?"}
	rules := func(o *endpoint) int { return len(o.Spec.Ingress) }
	here := object("web", append(pods(1), elsewhere, unreadable), "10.9.0.1")
	here.Labels, here.Annotations = map[string]string{"a": "b"}, map[string]string{"other": "x"}
	if got := core.Strip(here, nodeAddrs); len(got.Spec.PodSelectorEndpoints) != 2 || rules(got) != 1 ||
		got.Labels != nil || len(got.Annotations) != 0 {
		t.Errorf("stripped to %+v, want pod-1, the unreadable one and the rule", got)
	}
	if got := core.Strip(object("web", []v1alpha1.PodEndpoint{elsewhere}, "10.9.0.1"), nodeAddrs); rules(got) != 1 {
		t.Error("dropped rules that another object's pods may need")
	}
	part := object("web.0123456789", pods(1), "10.9.0.1")
	part.Annotations = map[string]string{v1alpha1.PolicyAnnotation: "web"}
	if got := v1alpha1.PolicyName(core.Strip(part, nodeAddrs)); got != "web" {
		t.Errorf("a variant of web is of %q now", got)
	}
	alone := marked(object("web", []v1alpha1.PodEndpoint{elsewhere}, "10.9.0.1"))
	got := core.Strip(alone[0], nodeAddrs)
	if rules(got) != 0 || v1alpha1.CompletenessOf([]*endpoint{got}) != v1alpha1.Complete {
		t.Errorf("stripped to %+v, want no rules and still complete", got)
	}
	if len(alone[0].Spec.Ingress) != 1 || alone[0].Annotations[v1alpha1.SetHashAnnotation] == "" {
		t.Error("the object itself was modified")
	}
}
