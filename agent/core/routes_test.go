package core_test

import (
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/agent/core"
)

// way is a route to the address of pod-1.
func way(ifindex, metric uint32) core.Route {
	return core.Route{Addr: addrOf(1), Ifindex: ifindex, Metric: metric}
}

// TestTheBestRouteLeadsToThePod: the one of the lowest metric of those that are left.
func TestTheBestRouteLeadsToThePod(t *testing.T) {
	seen := func(r core.Route) core.Input { return core.RouteSeen{Route: r} }
	replaced := func(r core.Route) core.Input { return core.RouteSeen{Route: r, Replaces: true} }
	gone := func(r core.Route) core.Input { return core.RouteGone{Route: r} }
	for name, c := range map[string]struct {
		inputs []core.Input
		want   uint32
	}{
		"the lower metric":                      {[]core.Input{seen(way(7, 10)), seen(way(8, 20))}, 7},
		"the lower metric, told last":           {[]core.Input{seen(way(8, 20)), seen(way(7, 10))}, 7},
		"the last one, where metrics are equal": {[]core.Input{seen(way(8, 0)), seen(way(7, 0))}, 7},
		"the one that is left":                  {[]core.Input{seen(way(7, 20)), seen(way(8, 10)), gone(way(8, 10))}, 7},
		"of one interface, the one that is left": {
			[]core.Input{seen(way(7, 10)), seen(way(8, 20)), seen(way(7, 30)), gone(way(7, 10)), gone(way(8, 20))}, 7},
		"the one that replaced another": {[]core.Input{seen(way(8, 10)), replaced(way(7, 10)), gone(way(7, 20))}, 7},
		"none that was replaced": {
			[]core.Input{seen(way(8, 10)), seen(way(7, 20)), replaced(way(9, 10)), gone(way(9, 10))}, 7},
		"not the one that came, and went":   {[]core.Input{seen(way(7, 0)), seen(way(8, 0)), gone(way(8, 0))}, 7},
		"what is told of others is nothing": {[]core.Input{seen(way(7, 0)), gone(way(8, 0)), gone(way(7, 5))}, 7},
		"as they were listed": {
			[]core.Input{core.HostListed{
				Links: []core.Link{veth(7, "a"), veth(8, "b")}, Routes: []core.Route{way(7, 1), way(8, 2)},
			}}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{Finder: core.ByRoute{}})
			r.up(veth(7, "eni7"), veth(8, "eni8"), veth(9, "eni9"))
			r.step(route(27, 7), route(28, 8), route(29, 9), core.Changed{Object: object("web", pods(1))})
			for _, in := range c.inputs {
				r.step(in)
				r.inForce()
			}
			r.step(core.Changed{Object: object("unrelated", pods(3))}) // so that something is programmed in any case
			for _, p := range r.inForce().Input.Pods {
				if got := p.Name == "pod-1"; got != (p.Ifindex == c.want) {
					t.Errorf("pod %+v, want pod-1 behind interface %d", p, c.want)
				}
			}
		})
	}
}

// TestPodStaysIsolatedWhateverBecomesOfItsRoute: its interface is the one to which the route once led, until another is
// claimed for it, and also then.
func TestPodStaysIsolatedWhateverBecomesOfItsRoute(t *testing.T) {
	other := object("db", pods(2), "10.9.0.1")
	other.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	for name, inputs := range map[string][]core.Input{
		"it goes":                                {core.RouteGone{Route: way(7, 10)}},
		"it goes, and all is listed":             {core.HostListed{Links: []core.Link{veth(7, "eni7"), veth(8, "eni8")}}},
		"another leads elsewhere":                {core.RouteSeen{Route: way(9, 0)}},
		"another takes its place":                {core.RouteSeen{Route: way(9, 10), Replaces: true}},
		"another leads to another pod":           {core.RouteSeen{Route: way(8, 0)}},
		"its interface leads to another address": {core.RouteGone{Route: way(7, 10)}, route(5, 7)},
		"and others change": {
			core.RouteGone{Route: way(7, 10)}, core.Changed{Object: other}, core.LinkSeen{Link: veth(11, "eni11")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{Finder: core.ByRoute{}})
			r.up(veth(7, "eni7"), veth(8, "eni8"))
			r.step(core.RouteSeen{Route: way(7, 10)}, core.Changed{Object: object("web", pods(1))})
			r.inForce()
			r.step(inputs...)
			r.step(core.Changed{Object: object("unrelated", pods(3))}) // so that something is programmed in any case
			for _, p := range r.inForce().Input.Pods {
				if p.Ifindex == 7 && (p.Name != "pod-1" || p.Unknown || len(p.Addrs) != 1 || p.Addrs[0] != addrOf(1)) {
					t.Errorf("pod %+v, want pod-1 with its address", p)
				}
			}
		})
	}
}

// TestWhatPoliciesSaidIsNotRemembered: an address that only a policy named may have been that of an earlier pod of the
// same name.
func TestWhatPoliciesSaidIsNotRemembered(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up(veth(7, linkOf(1)))
	stale, now := object("web", pods(1)), object("web", pods(1))
	stale.Spec.PodSelectorEndpoints[0].PodIP = "10.1.0.77"
	for _, o := range []*endpoint{stale, now} {
		r.step(core.Changed{Object: o})
		want := netip.MustParseAddr(string(o.Spec.PodSelectorEndpoints[0].PodIP))
		if got := r.inForce().Input.Pods[0].Addrs; len(got) != 1 || got[0] != want {
			t.Errorf("addresses %v, want %v", got, want)
		}
	}
}

// TestRoutesGoWithTheirInterface: another one that has the same index has none of them, and a name is only a name.
func TestRoutesGoWithTheirInterface(t *testing.T) {
	for name, c := range map[string]struct {
		input core.Input
		want  []netip.Addr
	}{
		"which is gone":        {core.LinkGone{Ifindex: 7}, []netip.Addr{addrOf(2)}},
		"which is not listed":  {core.HostListed{}, []netip.Addr{addrOf(2)}},
		"which is down":        {core.RoutesGone{Ifindex: 7}, []netip.Addr{addrOf(2)}},
		"which is not renamed": {core.LinkSeen{Link: veth(7, "eni77")}, []netip.Addr{addrOf(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, core.Config{})
			r.up(veth(7, "eni7"))
			r.step(route(1, 7))
			r.inForce()
			r.step(c.input, core.LinkSeen{Link: veth(7, "eni78")}, route(2, 7))
			if got := r.inForce().Input.Pods; len(got) != 1 || !slices.Equal(got[0].Addrs, c.want) {
				t.Errorf("pods %+v, want one with %v", got, c.want)
			}
		})
	}
}
