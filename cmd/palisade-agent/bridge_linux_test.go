package main

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// addBridge makes the bridge br0 on the node.
func (b *testbed) addBridge() {
	b.Helper()
	b.must(b.node.NS().Do(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		return netlink.LinkSetUp(br)
	}))
}

// addPort connects a pod by a veth whose host's side is a port of br0, as the plugin "bridge" does: no route leads to
// it, and its name says nothing.
func (b *testbed) addPort(name string, addr netip.Addr) {
	b.Helper()
	pod, err := ns.New()
	b.must(err)
	b.closeLater(pod.Close)
	b.must(b.node.NS().Do(func() error {
		v := netlink.NewVeth(netlink.LinkAttrs{Name: "veth" + name})
		v.PeerName, v.PeerNamespace = "eth0", netlink.NsFd(pod.FD())
		if err := netlink.LinkAdd(v); err != nil {
			return err
		}
		return netlink.LinkSetUp(v)
	}))
	b.joinBridge(name)
	b.must(pod.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}})
	}))
	b.prober.Add(name, pod, []netip.Addr{addr})
}

// joinBridge makes a pod's interface a port of br0, which it may have been before.
func (b *testbed) joinBridge(name string) {
	b.Helper()
	b.must(b.node.NS().Do(func() error {
		l, err := netlink.LinkByName("veth" + name)
		if err != nil {
			return err
		}
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetNoMaster(l); err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, br)
	}))
}

// TestPortOfABridgeStaysFiltered when it leaves the bridge and comes back: only the CNI plugin said whose it is.
func TestPortOfABridgeStaysFiltered(t *testing.T) {
	b := newNode(t)
	one, two := netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("10.88.0.2")
	b.addBridge()
	b.addPort("one", one)
	b.addPort("two", two)
	b.start()
	b.awaitReady()
	b.await("an open pod is reached", func() bool { return b.connects("one", two, 80) })
	_, err := socket.Call(t.Context(), b.socket(), socket.Request{
		Command: socket.Add, Namespace: namespace, Name: "two", UID: "u",
		HostInterfaces: []string{"br0", "vethtwo"}, Addresses: []netip.Addr{two},
	})
	b.must(err)
	policy := ingressTo("two")
	pod := &policy.Spec.PodSelectorEndpoints[0]
	pod.Name, pod.PodIP = "two", v1alpha1.NetworkAddress(two.String())
	b.putInForce(policy)
	if b.connects("one", two, 80) {
		t.Fatal("the policy is not in force")
	}
	b.joinBridge("two")
	b.putInForce(ingressTo("web")) // the tables are written anew, with what is known of the pods now
	if b.connects("one", two, 80) {
		t.Error("an isolated pod is open once its interface has left the bridge and come back")
	}
}
