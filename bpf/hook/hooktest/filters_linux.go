// Package hooktest does in tests what other users of tc do on an interface.
package hooktest

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// IngressQdisc is a qdisc that takes the place of clsact, and has filters of what enters the host only.
func IngressQdisc(ifindex int) *netlink.Ingress {
	return &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
}

// Hook is one of the two places where an interface has filters: Parent is netlink.HANDLE_MIN_INGRESS or HANDLE_MIN_EGRESS.
type Hook struct {
	Ifindex int
	Parent  uint32
}

// Attrs are those of a filter of the hook for packets of every protocol.
func (h Hook) Attrs(chain uint32, priority uint16) netlink.FilterAttrs {
	return netlink.FilterAttrs{
		LinkIndex: h.Ifindex, Parent: h.Parent, Handle: 1, Priority: priority, Protocol: unix.ETH_P_ALL, Chain: &chain,
	}
}

// Filter is one with the name "foreign" that runs a program.
func (h Hook) Filter(prog *ebpf.Program, chain uint32, priority uint16) *netlink.BpfFilter {
	return &netlink.BpfFilter{FilterAttrs: h.Attrs(chain, priority), Fd: prog.FD(), Name: "foreign", DirectAction: true}
}

// Installed is a filter that is on a hook: of which chain, with which priority, and its name or, if it has none, its kind.
type Installed struct {
	Chain    uint32
	Priority uint16
	Name     string
}

func (f Installed) String() string { return fmt.Sprint(f.Chain, " ", f.Priority, " ", f.Name) }

// Filters are those of the hook, in the order in which packets come by them.
func (h Hook) Filters() (list []Installed, err error) {
	all, err := netlink.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: h.Ifindex}}, h.Parent)
	for _, f := range all {
		found := Installed{Priority: f.Attrs().Priority, Name: f.Type()}
		if chain := f.Attrs().Chain; chain != nil {
			found.Chain = *chain
		}
		if b, ok := f.(*netlink.BpfFilter); ok {
			found.Name = b.Name
		}
		list = append(list, found)
	}
	return list, err
}
