package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// TestIsolatedPodStaysSoWithoutItsRoute where nothing but the route told which interface is the pod's.
func TestIsolatedPodStaysSoWithoutItsRoute(t *testing.T) {
	b := newNode(t)
	b.addBridge()
	b.start("-finder", "route")
	b.awaitReady()
	both := ingressTo("web")
	both.Spec.PodIsolation = append(both.Spec.PodIsolation, networkingv1.PolicyTypeEgress)
	b.putInForce(both)
	denied := b.blastFrom("server", serverIP, "client", netip.AddrPortFrom(clientIP, 7000))
	toServer := b.routeTo("server")
	elsewhere := *toServer
	elsewhere.LinkIndex = b.linkIndex("br0")
	for n, change := range []struct {
		do func(*netlink.Route) error
		r  *netlink.Route
	}{
		{netlink.RouteDel, toServer}, {netlink.RouteAdd, &elsewhere},
		{netlink.RouteDel, &elsewhere}, {netlink.RouteAdd, toServer},
		{netlink.RouteReplace, &elsewhere}, {netlink.RouteReplace, toServer},
	} {
		b.must(b.node.NS().Do(func() error { return change.do(change.r) }))
		policy := ingressTo("other", clientIP.String())
		policy.Spec.PodSelectorEndpoints[0].Name, policy.Spec.PodSelectorEndpoints[0].PodIP = "client", "10.1.0.1"
		if n%2 == 0 {
			policy.Spec.Ingress = nil
		}
		b.putInForce(policy) // the tables are written anew, with what is known of the pods now
	}
	b.endDenied(denied)
	if b.connects("client", serverIP, 80) {
		t.Error("an isolated pod is open once its route has gone and come back")
	}
}

// TestIndexGivenAgainIsAnotherPods: what led to the one that is gone says nothing of the one that has its interface's
// index.
func TestIndexGivenAgainIsAnotherPods(t *testing.T) {
	const index = 1000
	b := newNode(t)
	b.start()
	b.awaitReady()
	first, second := netip.MustParseAddr("10.1.0.50"), netip.MustParseAddr("10.1.0.60")
	gone := b.addPodAt(index, "first", first)
	b.await("the first pod is known", func() bool { return b.connects("first", clientIP, 80) })
	gone()
	b.addPodAt(index, "second", second)
	b.await("what the second pod sends arrives", func() bool { return b.connects("second", clientIP, 80) })
}

// addPodAt connects a pod by a veth of an index. It is removed by calling gone.
func (b *testbed) addPodAt(index int, name string, addr netip.Addr) (gone func()) {
	b.Helper()
	pod, err := ns.New()
	b.must(err)
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "cali" + name, Index: index})
	veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(pod.FD())
	onLink := func(index int, to *net.IPNet) error {
		return netlink.RouteAdd(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: to})
	}
	b.must(b.node.NS().Do(func() error {
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		proxy := "/proc/sys/net/ipv4/conf/" + veth.Name + "/proxy_arp"
		return errors.Join(os.WriteFile(proxy, []byte("1"), 0), netlink.LinkSetUp(veth),
			onLink(index, netlink.NewIPNet(addr.AsSlice())))
	}))
	b.must(pod.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(l),
			netlink.AddrAdd(l, &netlink.Addr{IPNet: netlink.NewIPNet(addr.AsSlice())}),
			onLink(l.Attrs().Index, &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}))
	}))
	b.prober.Add(name, pod, []netip.Addr{addr})
	gone = sync.OnceFunc(func() {
		b.prober.Remove(name)
		b.must(b.node.NS().Do(func() error { return netlink.LinkDel(veth) }))
		b.must(pod.Close())
	})
	b.Cleanup(gone)
	return gone
}

// routeTo is the node's route to a pod.
func (b *testbed) routeTo(name string) (found *netlink.Route) {
	b.Helper()
	b.must(b.node.NS().Do(func() error {
		pod, err := netlink.LinkByIndex(b.pods[name].Ifindex())
		if err != nil {
			return err
		}
		routes, err := netlink.RouteList(pod, netlink.FAMILY_V4)
		for _, r := range routes {
			if r.Dst != nil {
				found = &r
			}
		}
		return err
	}))
	if found == nil {
		b.Fatalf("no route leads to %s", name)
	}
	return found
}

// linkIndex is the index of an interface of the node.
func (b *testbed) linkIndex(name string) (index int) {
	b.Helper()
	b.must(b.node.NS().Do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			index = l.Attrs().Index
		}
		return err
	}))
	return index
}
