package hostnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/bpf/hook"
)

// routes are those to single addresses over an interface: "address scope source".
func (h *host) routes(l core.Link) []string {
	h.Helper()
	var list []string
	h.do(func() error {
		all, err := netlink.RouteList(h.link(l.Name), netlink.FAMILY_ALL)
		for _, r := range all {
			if r.Dst != nil && r.Protocol != unix.RTPROT_KERNEL && !r.Dst.IP.IsMulticast() {
				list = append(list, strings.Join([]string{r.Dst.String(), r.Scope.String(), r.Src.String()}, " "))
			}
		}
		return err
	})
	slices.Sort(list)
	return list
}

func (h *host) isUp(l core.Link) (up bool) {
	h.Helper()
	h.do(func() error { up = h.link(l.Name).Attrs().Flags&net.FlagUp != 0; return nil })
	return up
}

// closed is what Closed returns.
func (h *host) closed() (list []core.Closed) {
	h.Helper()
	h.do(func() (err error) { list, err = hostnet.Closed(); return err })
	return list
}

func TestAnInterfaceComesBackWithItsRoutes(t *testing.T) {
	h := newHost(t)
	pod, other := h.addVeth("eni1"), h.addVeth("eni2")
	h.do(func() error {
		return netlink.AddrAdd(h.link("lo"), &netlink.Addr{IPNet: netlink.NewIPNet(net.IPv4(192, 0, 2, 1))})
	})
	fromNode := route("10.0.0.8/32", pod)
	fromNode.Src = net.IPv4(192, 0, 2, 1)
	for _, r := range []*netlink.Route{route("10.0.0.7/32", pod), fromNode, route("fd00::7/128", pod)} {
		h.addRoute(r)
	}
	before := h.routes(pod)
	if len(before) != 3 {
		t.Fatalf("routes %q, want three", before)
	}
	for range 2 { // again, as when somebody else set it up meanwhile
		h.do(func() error { return hostnet.Close(int(pod.Ifindex)) })
		if h.isUp(pod) || !h.isUp(other) {
			t.Fatal("want the one interface down and the other one up")
		}
	}
	got := h.closed()
	want := []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr("fd00::7")}
	if len(got) != 1 || got[0].Ifindex != pod.Ifindex {
		t.Fatalf("closed: %+v, want interface %d", got, pod.Ifindex)
	}
	slices.SortFunc(got[0].Addrs, netip.Addr.Compare)
	if !slices.Equal(got[0].Addrs, want) {
		t.Errorf("the interface led to %v, want %v", got[0].Addrs, want)
	}
	h.do(func() error { return hostnet.Open(int(pod.Ifindex)) })
	if after := h.routes(pod); !slices.Equal(after, before) || !h.isUp(pod) {
		t.Errorf("routes %q and up is %v, want %q as before", after, h.isUp(pod), before)
	}
	if got := h.closed(); len(got) != 0 {
		t.Errorf("closed: %+v after it was opened", got)
	}
}

// TestListsAreReadWhileInterfacesComeAndGo: pods start and end while an agent starts.
func TestListsAreReadWhileInterfacesComeAndGo(t *testing.T) {
	h := newHost(t)
	for n := range 50 { // more than the kernel tells at once
		h.addVeth(fmt.Sprint("eni", n))
	}
	ctx, end := context.WithCancel(t.Context())
	changed := make(chan error, 1)
	go func() {
		changed <- h.ns.Do(func() (err error) {
			for ctx.Err() == nil && err == nil {
				veth := netlink.NewVeth(netlink.LinkAttrs{Name: "pod"})
				veth.PeerName = "pod-peer"
				err = errors.Join(netlink.LinkAdd(veth), netlink.LinkDel(veth))
			}
			return err
		})
	}()
	for range 100 {
		h.closed()
	}
	end()
	if err := <-changed; err != nil {
		t.Error(err)
	}
}

// TestOpenLeavesOthersAlone: an administrator may have taken an interface down, too.
func TestOpenLeavesOthersAlone(t *testing.T) {
	h := newHost(t)
	pod := h.addVeth("eni1")
	h.do(func() error {
		if err := netlink.LinkSetDown(h.link("eni1")); err != nil {
			return err
		}
		return hostnet.Open(int(pod.Ifindex))
	})
	if h.isUp(pod) {
		t.Error("an interface is up that somebody else took down")
	}
}

func TestWatchTellsWhoseFiltersChange(t *testing.T) {
	h := newHost(t)
	pod, other := h.addVeth("eni1"), h.addVeth("eni2")
	h.watch()
	until(h, func(in core.FiltersTouched) bool { return in.Ifindex == 0 })
	clsact := func(l core.Link) *netlink.Clsact { return hook.ClsactQdisc(int(l.Ifindex)) }
	filter := &netlink.U32{ClassId: 1, FilterAttrs: netlink.FilterAttrs{
		LinkIndex: int(pod.Ifindex), Parent: netlink.HANDLE_MIN_EGRESS, Priority: 5, Protocol: unix.ETH_P_ALL,
	}}
	told := func(what string, change func() error) {
		t.Helper()
		h.do(change)
		if got := until(h, func(core.FiltersTouched) bool { return true }); got.Ifindex != pod.Ifindex {
			t.Errorf("%s: told of interface %d, want %d", what, got.Ifindex, pod.Ifindex)
		}
	}
	told("qdisc added", func() error { return netlink.QdiscAdd(clsact(pod)) })
	told("filter added", func() error { return netlink.FilterAdd(filter) })
	told("filter deleted", func() error { return netlink.FilterDel(filter) })
	told("qdisc deleted", func() error { return netlink.QdiscDel(clsact(pod)) })
	h.do(func() error { return netlink.QdiscAdd(clsact(other)) })
	until(h, func(in core.FiltersTouched) bool { return in.Ifindex == other.Ifindex })
}
