package hostnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// patience bounds how long the kernel may take to tell something.
const patience = 20 * time.Second

// host is a network namespace that is watched.
type host struct {
	*testing.T
	ns   *ns.NS
	told chan core.Input
	end  context.CancelFunc
	done chan error // what Watch returned
}

// newHost makes a namespace with loopback up.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	space, err := ns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &host{T: t, ns: space, told: make(chan core.Input, 64), done: make(chan error, 1)}
	h.do(func() error { return netlink.LinkSetUp(h.link("lo")) })
	return h
}

// do runs f inside the namespace.
func (h *host) do(f func() error) {
	h.Helper()
	if err := h.ns.Do(f); err != nil {
		h.Fatal(err)
	}
}

// link finds an interface of the calling thread's namespace.
func (h *host) link(name string) netlink.Link {
	l, err := netlink.LinkByName(name)
	if err != nil {
		h.Error(err)
		return &netlink.Dummy{}
	}
	return l
}

// watch starts to watch, and returns what there was.
func (h *host) watch() core.HostListed {
	h.Helper()
	var ctx context.Context
	ctx, h.end = context.WithCancel(h.Context())
	go func() {
		h.done <- h.ns.Do(func() error { return hostnet.Watch(ctx, func(in core.Input) { h.told <- in }) })
	}()
	return until(h, func(core.HostListed) bool { return true })
}

// until reads what is told until some Input is as wanted.
func until[I core.Input](h *host, wanted func(I) bool) I {
	h.Helper()
	timeout := time.After(patience)
	for {
		select {
		case in := <-h.told:
			if i, ok := in.(I); ok && wanted(i) {
				return i
			}
		case err := <-h.done:
			h.Fatalf("Watch returned %v", err)
		case <-timeout:
			var none I
			h.Fatalf("nothing was told in time like %T", none)
		}
	}
}

// addVeth makes a pair whose first end is called name, and returns that.
func (h *host) addVeth(name string) (made core.Link) {
	h.Helper()
	h.do(func() error {
		veth := netlink.NewVeth(netlink.LinkAttrs{Name: name})
		veth.PeerName = name + "-peer"
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		made = core.Link{Ifindex: uint32(h.link(name).Attrs().Index), Name: name, Veth: true}
		return netlink.LinkSetUp(h.link(name))
	})
	return made
}

// route is one to a prefix over an interface.
func route(to string, l core.Link) *netlink.Route {
	p := netip.MustParsePrefix(to)
	return &netlink.Route{LinkIndex: int(l.Ifindex), Scope: netlink.SCOPE_LINK, Dst: &net.IPNet{
		IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
}

func (h *host) addRoute(r *netlink.Route) {
	h.Helper()
	h.do(func() error { return netlink.RouteAdd(r) })
}

func TestWatchTellsWhatThereIsFirst(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	h.addRoute(route("10.0.0.7/32", pod))
	h.addRoute(route("fd00::7/128", pod))
	before := time.Now()
	there := h.watch()
	if there.Begun.Before(before) || there.Begun.After(time.Now()) {
		t.Errorf("began at %v, want a time since %v", there.Begun, before)
	}
	if !slices.Contains(there.Links, pod) {
		t.Errorf("the interface %+v is not among %+v", pod, there.Links)
	}
	if lo := slices.IndexFunc(there.Links, func(l core.Link) bool { return l.Name == "lo" }); lo < 0 || there.Links[lo].Veth {
		t.Errorf("loopback is not among %+v, or is told to be a veth", there.Links)
	}
	for a, metric := range map[string]uint32{"10.0.0.7": 0, "fd00::7": 1024} {
		want := core.Route{Addr: netip.MustParseAddr(a), Ifindex: pod.Ifindex, Metric: metric}
		if !slices.Contains(there.Routes, want) {
			t.Errorf("the route %+v is not among %+v", want, there.Routes)
		}
	}
}

func TestWatchTellsWhatChanges(t *testing.T) {
	h := newHost(t)
	h.watch()
	pod := h.addVeth("eni1")
	until(h, func(in core.LinkSeen) bool { return in.Link == pod })
	want := core.Route{Addr: netip.MustParseAddr("10.0.0.7"), Ifindex: pod.Ifindex}
	r := route("10.0.0.7/32", pod)
	h.addRoute(r)
	until(h, func(in core.RouteSeen) bool { return in.Route == want })
	h.do(func() error { return netlink.RouteDel(r) })
	until(h, func(in core.RouteGone) bool { return in.Route == want })

	renamed := core.Link{Ifindex: pod.Ifindex, Name: "eni2", Veth: true}
	h.do(func() error { return netlink.LinkSetName(h.link("eni1"), "eni2") })
	until(h, func(in core.LinkSeen) bool { return in.Link == renamed })
	h.do(func() error { return netlink.LinkDel(h.link("eni2")) })
	until(h, func(in core.LinkGone) bool { return in == core.LinkGone{Ifindex: pod.Ifindex, Name: "eni2"} })
}

// TestRoutesToOneAddressAreToldApart by their metric, and one that takes the place of another is told as such: the
// kernel does not say that the other is gone.
func TestRoutesToOneAddressAreToldApart(t *testing.T) {
	h := newHost(t)
	first, second := h.addVeth("eni1"), h.addVeth("eni2")
	for to, least := range map[string]uint32{"10.0.0.7/32": 0, "fd00::7/128": 1024} { // what the kernel chooses
		seen := func(l core.Link, metric uint32, replaces bool) core.RouteSeen {
			return core.RouteSeen{
				Route:    core.Route{Addr: netip.MustParsePrefix(to).Addr(), Ifindex: l.Ifindex, Metric: metric},
				Replaces: replaces,
			}
		}
		low, high, replacing := route(to, first), route(to, second), route(to, second)
		high.Priority = 2000
		h.addRoute(low)
		there := h.watch()
		if want := seen(first, least, false).Route; !slices.Contains(there.Routes, want) {
			t.Errorf("the route %+v is not among %+v", want, there.Routes)
		}
		for _, c := range []struct {
			do   func(*netlink.Route) error
			r    *netlink.Route
			want core.Input
		}{
			{netlink.RouteAdd, high, seen(second, 2000, false)},
			{netlink.RouteReplace, replacing, seen(second, least, true)},
			{netlink.RouteDel, high, core.RouteGone{Route: seen(second, 2000, false).Route}},
		} {
			h.do(func() error { return c.do(c.r) })
			until(h, func(in core.Input) bool { return in == c.want })
		}
		h.end()
		if err := <-h.done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestWatchKeepsTheOrderOfTheKernel, also between interfaces and routes: the routes of an interface that goes are not
// told to be gone, and those of another that has its index are told before or after.
func TestWatchKeepsTheOrderOfTheKernel(t *testing.T) {
	const index, times = 100, 50
	h := newHost(t)
	h.watch()
	changed := make(chan error, 1)
	go func() {
		changed <- h.ns.Do(func() (err error) {
			for n := range times {
				veth := netlink.NewVeth(netlink.LinkAttrs{Name: "eni1", Index: index})
				veth.PeerName = "eni1-peer"
				to := route(fmt.Sprintf("10.0.0.%d/32", n), core.Link{Ifindex: index})
				err = errors.Join(err, netlink.LinkAdd(veth), netlink.LinkSetUp(veth), netlink.RouteAdd(to),
					netlink.LinkDel(veth))
			}
			return err
		})
	}()
	seen, there := 0, false
	until(h, func(in core.Input) bool {
		switch in := in.(type) {
		case core.LinkSeen:
			there = there || in.Link.Ifindex == index
		case core.LinkGone:
			if in.Ifindex == index {
				there = false
				seen++
			}
		case core.RouteSeen:
			if last := in.Route.Addr.AsSlice()[3]; in.Route.Addr.Is4() && (!there || int(last) != seen) {
				t.Errorf("told of route %d when %d interfaces were gone, and one there: %v", last, seen, there)
			}
		}
		return seen == times
	})
	if err := <-changed; err != nil {
		t.Error(err)
	}
}

// TestInterfaceThatGoesDownHasNoRoutes, although the kernel says so of none of IPv4.
func TestInterfaceThatGoesDownHasNoRoutes(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	h.addRoute(route("10.0.0.7/32", pod))
	h.watch()
	h.do(func() error { return netlink.LinkSetDown(h.link("eni1")) })
	until(h, func(in core.RoutesGone) bool { return in.Ifindex == pod.Ifindex })
}

// TestWatchLeavesNothingRunning when it ends while more is told than it has taken.
func TestWatchLeavesNothingRunning(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	for n := range 10 { // which is by chance what is left when it ends
		ctx, end := context.WithCancel(t.Context())
		held, goOn := make(chan bool, 1000), make(chan bool)
		go func() {
			h.done <- h.ns.Do(func() error {
				return hostnet.Watch(ctx, func(core.Input) { held <- true; <-goOn })
			})
		}()
		<-held // the first it tells: it has subscribed
		for m := range 100 {
			h.addRoute(route(fmt.Sprintf("10.0.%d.%d/32", n, m), pod))
		}
		end()
		close(goOn)
		if err := <-h.done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for begin := time.Now(); ; runtime.Gosched() { // those of other tests may take their time
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		if !bytes.Contains(all, []byte("hostnet.")) && !bytes.Contains(all, []byte("/netlink.")) {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("still running:\n%s", all)
		}
	}
}

// TestPortThatLeavesItsBridgeIsThere: the kernel says that the port is gone, and the interface is not.
func TestPortThatLeavesItsBridgeIsThere(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("veth1")
	h.do(func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}) })
	h.watch()
	h.do(func() error {
		join := func() error { return netlink.LinkSetMaster(h.link("veth1"), h.link("br0")) }
		return errors.Join(join(), netlink.LinkSetNoMaster(h.link("veth1")), join())
	})
	last := h.addVeth("last")
	until(h, func(in core.Input) bool {
		seen, _ := in.(core.LinkSeen)
		if gone, ok := in.(core.LinkGone); ok || seen.Link.Ifindex == pod.Ifindex && seen.Link != pod {
			t.Errorf("told of %+v and %+v, want no more than that %+v is there", gone, seen, pod)
		}
		return seen.Link == last
	})
}

// TestLeavesAreToldFromWaysOn: a pod's interface ends in another namespace, and no route leads on through it.
func TestLeavesAreToldFromWaysOn(t *testing.T) {
	h := newHost(t)
	pod, router, beside := h.addVeth("pod"), h.addVeth("router"), h.addVeth("beside")
	for _, l := range []core.Link{pod, router} {
		h.moveAway(l.Name + "-peer")
		h.addRoute(route("10.0.0."+fmt.Sprint(l.Ifindex)+"/32", l))
	}
	h.addRoute(route("10.7.0.0/16", router))
	want := map[string]bool{"pod": true, "router": false, "beside": false, "lo": false}
	for _, l := range h.watch().Links {
		if leaf, ok := want[l.Name]; ok && l.Leaf != leaf {
			t.Errorf("%s is told to be a leaf: %v, want %v", l.Name, l.Leaf, leaf)
		}
		delete(want, l.Name)
	}
	if len(want) > 0 {
		t.Errorf("not told of %v", want)
	}
	h.moveAway(beside.Name + "-peer")
	h.do(func() error { return netlink.LinkSetAlias(h.link(beside.Name), "seen") })
	until(h, func(in core.LinkSeen) bool { return in.Link.Name == beside.Name && in.Link.Leaf })
	onward := route("10.0.0.77/32", pod)
	onward.Gw, onward.Scope, onward.Flags = net.IPv4(169, 254, 1, 1), netlink.SCOPE_UNIVERSE, int(netlink.FLAG_ONLINK)
	h.addRoute(onward)
	h.addRoute(route("10.0.0.78/32", pod))
	until(h, func(in core.RouteSeen) bool { return in.Route.Addr == netip.MustParseAddr("10.0.0.78") })
	h.do(func() error { return netlink.LinkSetAlias(h.link(pod.Name), "seen") })
	until(h, func(in core.LinkSeen) bool { return in.Link.Name == pod.Name && !in.Link.Leaf })
}

// moveAway moves an interface to a namespace of its own.
func (h *host) moveAway(name string) {
	h.Helper()
	pod, err := ns.New()
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := pod.Close(); err != nil {
			h.Error(err)
		}
	})
	h.do(func() error { return netlink.LinkSetNsFd(h.link(name), int(pod.FD())) })
}

// TestOnlyRoutesToPodsAreTold: a route that leads on, to a network or for other tables says nothing of a pod.
func TestOnlyRoutesToPodsAreTold(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	elsewhere, onward := route("10.0.0.8/32", pod), route("10.0.0.9/32", pod)
	elsewhere.Table = 100
	onward.Gw, onward.Scope, onward.Flags = net.IPv4(169, 254, 1, 1), netlink.SCOPE_UNIVERSE, int(netlink.FLAG_ONLINK)
	others := []*netlink.Route{elsewhere, onward, route("10.1.0.0/16", pod), route("fd00:1::/64", pod)}
	for _, r := range others {
		h.addRoute(r)
	}
	if there := h.watch(); slices.ContainsFunc(there.Routes, func(r core.Route) bool { return r.Addr.Is4() }) {
		t.Errorf("told at first: %+v, want none of IPv4", there.Routes)
	}
	for _, r := range others {
		h.do(func() error { return errors.Join(netlink.RouteDel(r), netlink.RouteAdd(r)) })
	}
	h.addRoute(route("10.0.0.7/32", pod))
	until(h, func(in core.RouteSeen) bool {
		if in.Route.Addr.Is4() && in.Route.Addr != netip.MustParseAddr("10.0.0.7") {
			t.Errorf("told of %+v", in.Route)
		}
		return in.Route.Addr == netip.MustParseAddr("10.0.0.7")
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	h.watch()
	h.end()
	select {
	case err := <-h.done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	case <-time.After(patience):
		t.Error("Watch goes on")
	}
}

// TestLostNotificationsAreAnError holds the reader up until the kernel has no more room for what it tells.
func TestLostNotificationsAreAnError(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	h.watch()
	h.do(func() error {
		for range 20_000 {
			r := route("10.0.0.7/32", pod)
			if err := errors.Join(netlink.RouteAdd(r), netlink.RouteDel(r)); err != nil {
				return err
			}
		}
		return nil
	})
	timeout := time.After(patience)
	for {
		select {
		case <-h.told:
		case err := <-h.done:
			if err == nil || !strings.Contains(err.Error(), unix.ENOBUFS.Error()) {
				t.Errorf("Watch returned %v, want %v", err, unix.ENOBUFS)
			}
			return
		case <-timeout:
			t.Fatal("Watch goes on as if nothing had been lost")
		}
	}
}

func TestInterfacesAreFoundByNameAndByRoute(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	h.addRoute(route("10.0.0.7/32", pod))
	for what, find := range map[string]func() (core.Link, error){
		"name":  func() (core.Link, error) { return hostnet.ByName("eni1") },
		"route": func() (core.Link, error) { return hostnet.ByRoute(netip.MustParseAddr("10.0.0.7")) },
	} {
		h.do(func() error {
			got, err := find()
			if got != pod {
				t.Errorf("by %s: %+v, want %+v", what, got, pod)
			}
			return err
		})
	}
}

func TestExistsTellsWhatIsThere(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	for ifindex, want := range map[uint32]bool{pod.Ifindex: true, 1000: false} {
		h.do(func() error {
			got, err := hostnet.Exists(ifindex)
			if got != want {
				t.Errorf("interface %d exists: %v, want %v", ifindex, got, want)
			}
			return err
		})
	}
}

func TestWhatCannotBeFoundIsNamed(t *testing.T) {
	h := newHost(t)
	h.do(func() error {
		if _, err := hostnet.ByName("eni1"); err == nil || !strings.Contains(err.Error(), "eni1") {
			t.Errorf("by name: %v", err)
		}
		if _, err := hostnet.ByRoute(netip.MustParseAddr("10.0.0.7")); err == nil || !strings.Contains(err.Error(), "10.0.0.7") {
			t.Errorf("by route: %v", err)
		}
		return nil
	})
}
