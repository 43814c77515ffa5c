package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
)

func mayRoute(t *testing.T, patterns ...string) (list []core.NamePattern) {
	t.Helper()
	for _, text := range patterns {
		p, err := core.ParseNamePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func TestPatternsMatchEachPartAlone(t *testing.T) {
	for _, c := range []struct {
		pattern         string
		namespace, name string
		want            bool
	}{
		{"vpn/*", "vpn", "gateway-0", true},
		{"vpn/*", "vpn-2", "gateway-0", false},
		{"vpn/*", "", "gateway-0", false},
		{"vpn/*", "vpn", "", false},
		{"*/*", "", "", false},
		{"*/*", "vpn", "gateway-0", true},
		{"kube-system/keepalived-*", "kube-system", "keepalived-x7k2p", true},
		{"kube-system/keepalived-*", "kube-system", "coredns-keepalived-1", false},
		{"kube-system/keepalived-*", "default", "keepalived-x7k2p", false},
		{"vpn/gateway-?", "vpn", "gateway-0", true},
		{"vpn/gateway-?", "vpn", "gateway-10", false},
		{"vpn/gateway-[0-4]", "vpn", "gateway-5", false},
		{"vpn/gateway", "vpn", "gateway", true},
		{"vpn/gateway", "vpn", "gateway-0", false},
	} {
		if got := mayRoute(t, c.pattern)[0].Matches(core.Name{Namespace: c.namespace, Name: c.name}); got != c.want {
			t.Errorf("%s matches %s/%s: %t, want %t", c.pattern, c.namespace, c.name, got, c.want)
		}
	}
}

// routers are the interfaces of the pods with addresses that may send from others, by the last program.
func (r *rig) routers() map[uint32]bool {
	r.Helper()
	routers := map[uint32]bool{}
	for _, p := range r.inForce().Input.Pods {
		if p.MayRoute && len(p.Addrs) > 0 {
			routers[p.Ifindex] = true
		}
	}
	return routers
}

// TestPodsThatMayRouteAreNamed by a policy that selects them or by the CNI plugin. Their neighbours may not, nor a pod
// whose name nobody told.
func TestPodsThatMayRouteAreNamed(t *testing.T) {
	r := newRig(t, core.Config{Finder: core.ByRoute{}, MayRoute: mayRoute(t, "vpn/*", "shop/pod-1", "shop/pod-4")})
	r.up(veth(7, "eni7"), veth(8, "eni8"), veth(9, "eni9"))
	r.step(route(1, 7), route(2, 8), route(3, 9))
	if got := r.routers(); len(got) != 0 {
		t.Errorf("interfaces %v may send from any address before anybody said whose they are", got)
	}
	r.step(core.Changed{Object: object("web", pods(1, 2))})
	if got := r.routers(); len(got) != 1 || !got[7] {
		t.Errorf("interfaces %v may send from any address, want only that of the pod which is named", got)
	}
	gateway := core.Pod{Namespace: "vpn", Name: "gateway", Addrs: []netip.Addr{addrOf(3)}, Ifindex: 9}
	r.step(core.PodAdded{Request: 1, Pod: gateway, Deadline: r.now.Add(1)})
	if got := r.routers(); len(got) != 2 || !got[7] || !got[9] {
		t.Errorf("interfaces %v may send from any address, want those of the two pods which are named", got)
	}
	r.step(core.Deleted{Name: core.Name{Namespace: "shop", Name: "web-0"}})
	r.pass(time.Minute) // nothing replaces it
	if got := r.routers(); len(got) != 1 || !got[9] {
		t.Errorf("interfaces %v may send from any address, want only that whose pod still has a name", got)
	}
}

// TestPodsThatMayRouteAreIsolatedLikeOthers: what decides over a pod is the same as without.
func TestPodsThatMayRouteAreIsolatedLikeOthers(t *testing.T) {
	for _, strict := range []bool{false, true} {
		pod := core.Pod{Namespace: "shop", Name: "pod-1", Addrs: []netip.Addr{addrOf(1)}, Ifindex: 7}
		var sets [2][][2]uint32
		for i, patterns := range [][]core.NamePattern{nil, mayRoute(t, "*/*")} {
			r := newRig(t, core.Config{Strict: strict, MayRoute: patterns})
			r.up(veth(7, "veth7"))
			r.step(core.PodAdded{Request: 1, Deadline: r.now.Add(1), Pod: pod})
			if got := r.routers()[7]; got != (i == 1) {
				t.Errorf("strict %t: the pod may send from any address: %t", strict, got)
			}
			if r.inTables.Input.Pods[0].Unknown {
				t.Errorf("strict %t: the pod is taken for one of which nothing is known", strict)
			}
			sets[i] = append(sets[i], r.sets())
			r.step(core.Changed{Object: object("web", pods(1))})
			sets[i] = append(sets[i], r.sets())
			if got := sets[i][1][flow.Ingress]; got != bpf.SetClosed {
				t.Errorf("strict %t: an isolated pod has set %d", strict, got)
			}
		}
		if sets[0][0] != sets[1][0] || sets[0][1] != sets[1][1] {
			t.Errorf("strict %t: sets %v, and %v where the pod may route", strict, sets[0], sets[1])
		}
	}
}

// TestPodsThatMayRouteKeepTheirNames over a restart, where nobody tells them again: as long as the interface is the same pod's, and
// by what the flag says then.
func TestPodsThatMayRouteKeepTheirNames(t *testing.T) {
	const ifindex = 7
	gateway := core.Pod{Namespace: "vpn", Name: "gateway", Addrs: []netip.Addr{addrOf(3)}, Ifindex: ifindex}
	before := newRig(t, core.Config{MayRoute: mayRoute(t, "vpn/*")})
	before.up(veth(ifindex, "veth7"))
	before.step(core.PodAdded{Request: 1, Pod: gateway, Deadline: before.now.Add(1)})
	last := before.inForce()
	entry := bpf.Pod{Ifindex: ifindex, Instance: last.Input.Pods[0].Instance, IP4: addrOf(3)}
	if want := (bpf.PodName{Instance: entry.Instance, Namespace: "vpn", Name: "gateway"}); len(last.Names) != 1 || last.Names[ifindex] != want {
		t.Fatalf("names to be noted %v, want %v", last.Names, want)
	}
	for _, c := range []struct {
		name    string
		pattern string
		entry   bpf.Pod
		object  *endpoint
		want    bool
	}{
		{"the same pod", "vpn/*", entry, nil, true},
		{"a flag that does not name it any more", "shop/*", entry, nil, false},
		{"another pod on the interface", "vpn/*", bpf.Pod{Ifindex: ifindex, Instance: entry.Instance + 1, IP4: addrOf(3)}, nil, false},
		{"a policy that takes it for another pod", "shop/*", entry, object("web", pods(3)), false},
	} {
		r := newRig(t, core.Config{MayRoute: mayRoute(t, c.pattern)})
		r.step(core.Restored{Pods: []bpf.Pod{c.entry}, Attached: []uint32{ifindex}, Names: last.Names})
		r.up(veth(ifindex, "veth7"), veth(8, "veth8"))
		r.step(route(3, ifindex))
		if c.object != nil {
			r.step(core.Changed{Object: c.object})
		}
		if got := r.routers()[ifindex]; got != c.want {
			t.Errorf("%s: it may send from any address: %t", c.name, got)
		}
		if got := r.inTables.Names; c.entry == entry && (len(got) != 1 || got[ifindex] != last.Names[ifindex]) {
			t.Errorf("%s: names to be noted %v, want what was noted", c.name, got)
		}
	}
}

// TestContradictionsLetNobodyRoute: a pod that one policy takes for one that may, and another one for its neighbour.
func TestContradictionsLetNobodyRoute(t *testing.T) {
	r := newRig(t, core.Config{Finder: core.ByRoute{}, MayRoute: mayRoute(t, "shop/pod-1")})
	r.up(veth(7, "eni7"))
	other := object("db", pods(2))
	other.Spec.PodSelectorEndpoints[0].PodIP = v1alpha1.NetworkAddress(addrOf(1).String())
	r.step(route(1, 7), core.Changed{Object: object("web", pods(1))})
	if !r.routers()[7] {
		t.Fatal("the pod that is named may not route")
	}
	r.step(core.Changed{Object: other})
	if r.routers()[7] {
		t.Error("a pod may send from any address although it is not known which one it is")
	}
}
