package docker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// hostLink and daemonLink name the ends of the veth pair.
const hostLink, daemonLink = "palisade-kind", "host"

// The addresses are of the block that is set aside for devices under test (RFC 2544), which no network routes.
func hostAddress() netip.Addr   { return netip.AddrFrom4([4]byte{198, 18, 99, 1}) }
func daemonAddress() netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 99, 2}) }

// connect brings up the loopback of a process's network namespace and a veth pair between that namespace and this one.
// The pair goes with the namespace.
func connect(pid int) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("network namespace of process %d: %w", pid, err)
	}
	defer func() { _ = ns.Close() }()
	there, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := here.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: hostLink}, PeerName: daemonLink, PeerNamespace: netlink.NsPid(pid),
	}); err != nil {
		return fmt.Errorf("add link %s: %w", hostLink, err)
	}
	return errors.Join(setUp(there, "lo", netip.Addr{}), setUp(there, daemonLink, daemonAddress()),
		setUp(here, hostLink, hostAddress()))
}

// disconnect removes the pair, if it is there. With the namespace it would go when the kernel gets to it.
func disconnect() error {
	link, err := netlink.LinkByName(hostLink)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove link %s: %w", hostLink, err)
	}
	return nil
}

// setUp gives a link an address, unless it is the zero one, and brings it up.
func setUp(h *netlink.Handle, name string, address netip.Addr) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if address.IsValid() {
		prefix := &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(30, 32)}
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: prefix}); err != nil {
			return fmt.Errorf("address of link %s: %w", name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up link %s: %w", name, err)
	}
	return nil
}
