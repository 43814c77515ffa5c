package fabric_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// place is one end of a connection in a test.
type place struct {
	name  string
	ns    *ns.NS
	addrs []netip.Addr
}

func addrs(t *testing.T, s ...string) []netip.Addr {
	t.Helper()
	out := make([]netip.Addr, len(s))
	for i := range s {
		out[i] = netip.MustParseAddr(s[i])
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cluster makes two nodes with two dual-stack pods each, all links down, and removes them after the test.
func cluster(t *testing.T) (places []place, pods []*fabric.Pod) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	f, err := fabric.New()
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	for i := 1; i <= 2; i++ {
		own := addrs(t, fmt.Sprintf("192.168.7.%d", i), fmt.Sprintf("fd07::%d", i))
		node, err := f.AddNode(fmt.Sprint("n", i), own)
		check(t, err)
		t.Cleanup(func() { check(t, node.Release()) })
		places = append(places, place{fmt.Sprint("node ", i), node.NS(), own})
		for j := 1; j <= 2; j++ {
			own := addrs(t, fmt.Sprintf("10.0.%d.%d", i, j), fmt.Sprintf("fd0a::%d:%d", i, j))
			pod, err := node.AddPod(fabric.LinkName("default", fmt.Sprint(j)), own)
			check(t, err)
			t.Cleanup(func() { check(t, pod.Release()) })
			places, pods = append(places, place{fmt.Sprint("pod ", i, j), pod.NS(), own}), append(pods, pod)
		}
	}
	return places, pods
}

// dial connects from one place to an address of another and returns the address that the listener saw.
func dial(t *testing.T, from, to place, addr netip.Addr) (netip.Addr, error) {
	t.Helper()
	var l net.Listener
	check(t, to.ns.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 80).String())
		return err
	}))
	defer func() { _ = l.Close() }()
	var c net.Conn
	err := from.ns.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		c, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }()
	a, err := l.Accept()
	check(t, err)
	defer func() { _ = a.Close() }()
	return netip.MustParseAddrPort(a.RemoteAddr().String()).Addr(), nil
}

func TestEveryPlaceReachesEveryOtherFromItsOwnAddress(t *testing.T) {
	places, pods := cluster(t)
	for _, p := range pods {
		check(t, p.Up())
	}
	for _, from := range places {
		for _, to := range places {
			for i := range to.addrs {
				seen, err := dial(t, from, to, to.addrs[i])
				if err != nil {
					t.Errorf("%s to %s: %v", from.name, to.addrs[i], err)
				} else if seen != from.addrs[i] {
					t.Errorf("%s to %s: arrived from %s, want %s", from.name, to.addrs[i], seen, from.addrs[i])
				}
			}
		}
	}
}

func TestNoPacketReachesAPodWhoseLinkIsDown(t *testing.T) {
	places, pods := cluster(t)
	closed, open := places[1], places[2]
	check(t, pods[1].Up())
	for i := range closed.addrs {
		if _, err := dial(t, places[0], closed, closed.addrs[i]); err == nil {
			t.Errorf("its node reached %s", closed.addrs[i])
		}
		if _, err := dial(t, closed, open, open.addrs[i]); err == nil {
			t.Errorf("%s reached %s", closed.addrs[i], open.addrs[i])
		}
	}
}

func TestAPodMayTakeTheAddressAndLinkNameOfARemovedOne(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	f, err := fabric.New()
	check(t, err)
	defer func() { check(t, f.Close()) }()
	own := addrs(t, "192.168.7.1")
	node, err := f.AddNode("n", own)
	check(t, err)
	defer func() { check(t, node.Remove()) }()
	for range 3 {
		ip := addrs(t, "10.0.0.1")
		pod, err := node.AddPod("eni", ip)
		check(t, err)
		check(t, pod.Up())
		from, to := place{"node", node.NS(), own}, place{"pod", pod.NS(), ip}
		if _, err := dial(t, from, to, ip[0]); err != nil {
			t.Error(err)
		}
		check(t, node.RemovePods([]*fabric.Pod{pod}))
	}
}
