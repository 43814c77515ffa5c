package hook

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
)

// The filter's place among those of others on a clsact hook.
const (
	filterPriority = 0x7a1
	filterHandle   = 0x1
	filterName     = "palisade"
)

func (h Hooks) filter(ifindex int, dir flow.Direction) *netlink.BpfFilter {
	parent := uint32(netlink.HANDLE_MIN_INGRESS)
	if dir == flow.Ingress {
		parent = netlink.HANDLE_MIN_EGRESS
	}
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: parent, Handle: filterHandle, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: h.Node.Program(dir).FD(), Name: filterName, DirectAction: true,
	}
}

// attachClsact replaces the filter in one netlink request, whether there was one or not.
func (h Hooks) attachClsact(ifindex int, dir flow.Direction) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("clsact: %w", err)
	}
	return netlink.FilterReplace(h.filter(ifindex, dir))
}

// detachClsact deletes the filter. It is no error when the filter, the qdisc or the interface is not there.
func (h Hooks) detachClsact(ifindex int, dir flow.Direction) error {
	err := netlink.FilterDel(h.filter(ifindex, dir))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// hasClsact looks for our filter.
func (h Hooks) hasClsact(ifindex int, dir flow.Direction) (bool, error) {
	ours := h.filter(ifindex, dir)
	filters, err := netlink.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, ours.Parent)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(filters, func(f netlink.Filter) bool {
		a := f.Attrs()
		return f.Type() == ours.Type() && a.Priority == ours.Priority && a.Handle == ours.Handle
	}), nil
}
