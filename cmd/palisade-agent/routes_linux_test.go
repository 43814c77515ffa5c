package main

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	networkingv1 "k8s.io/api/networking/v1"
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
		{netlink.RouteDel, toServer}, {netlink.RouteAdd, &elsewhere}, {netlink.RouteDel, &elsewhere}, {netlink.RouteAdd, toServer},
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
