package live_test

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// bridge makes the links of both pods ports of a bridge, as many plugins wire the pods of a node, and lets the
// client know where the server is on it.
func (w *wire) bridge(t *testing.T) {
	check(t, w.node.NS().Do(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/cni0/disable_ipv6", []byte("1"), 0); err != nil { // it would look for routers behind the pods
			return err
		}
		for _, ifindex := range []int{w.client.Ifindex(), w.server.Ifindex()} {
			link, err := netlink.LinkByIndex(ifindex)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(link, br); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetUp(br); err != nil {
			return err
		}
		return plainBridge()
	}))
	var mac net.HardwareAddr
	check(t, w.server.NS().Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	}))
	check(t, w.client.NS().Do(func() error { return beside(server4, mac) }))
}

// plainBridge keeps the kernel from passing what crosses the bridge through the node's own IP stack, where it can do
// that.
func plainBridge() error {
	for _, f := range []string{"iptables", "ip6tables"} {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+f, []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// beside makes an address one of the same network.
func beside(a netip.Addr, mac net.HardwareAddr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	to := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
	index := link.Attrs().Index
	if err := netlink.RouteAdd(&netlink.Route{Dst: to, LinkIndex: index, Scope: netlink.SCOPE_LINK}); err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT})
}

// TestBridgedPodsAreNotTheNode: what crosses a bridge still carries the socket of the pod that sent it, as what a
// process of the node sends carries its own; only receiving it with the node's IP stack takes that away. It is not
// from the node for that.
func TestBridgedPodsAreNotTheNode(t *testing.T) {
	w := newWire(t, hook.Auto)
	w.bridge(t)
	w.apply(t, state{server: true})
	w.expectCounted(t, bpf.ReasonNoRule, w.client.NS())
}

// TestOnlyTheNodeIsTheNode: the same where the node routes, and what the node sends itself.
func TestOnlyTheNodeIsTheNode(t *testing.T) {
	w := newWire(t, hook.Auto)
	w.apply(t, state{server: true})
	w.expectCounted(t, bpf.ReasonNoRule, w.client.NS())
	w.expectCounted(t, bpf.ReasonFromNode, w.node.NS())
}

// expectCounted sends the server a datagram that no rule allows, and waits for the one reason for which that is
// counted.
func (w *wire) expectCounted(t *testing.T, want bpf.Reason, from *ns.NS) {
	t.Helper()
	before := w.counted(t)
	check(t, from.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet4{Addr: server4.As4(), Port: 81})
		return errors.Join(err, unix.Close(fd))
	}))
	for end := time.Now().Add(long); time.Now().Before(end); {
		more := w.counted(t).since(before)[flow.Ingress]
		delete(more, bpf.ReasonNeighbour) // those that the kernels send of their own accord
		if len(more) == 0 {
			continue
		}
		if more[want] != 1 || len(more) > 1 {
			t.Errorf("counted %v, want one %s", more, want)
		}
		return
	}
	t.Errorf("nothing was counted, want one %s", want)
}
