package hook

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: clsactParent(dir), Handle: filterHandle, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: h.Node.Program(dir).FD(), Name: filterName, DirectAction: true,
	}
}

// clsactParent is the hook that packets of a direction, seen from the pod, pass.
func clsactParent(dir flow.Direction) uint32 {
	if dir == flow.Ingress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// ClsactQdisc is the qdisc that holds the filters of an interface, ours and those of others.
func ClsactQdisc(ifindex int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

// attachClsact replaces the filter in one netlink request, whether there was one or not.
func (h Hooks) attachClsact(ifindex int, dir flow.Direction) error {
	if err := netlink.QdiscAdd(ClsactQdisc(ifindex)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("clsact: %w", err)
	}
	return netlink.FilterReplace(h.filter(ifindex, dir))
}

// detachClsact deletes the filter, unless it is somebody else's that took its place. It is no error when the filter, the qdisc or the
// interface is not there.
func (h Hooks) detachClsact(ifindex int, dir flow.Direction) error {
	messages, err := dumpClsact(ifindex, dir)
	if err != nil || !slices.ContainsFunc(messages, isNamed) {
		return err
	}
	if err := netlink.FilterDel(h.filter(ifindex, dir)); err != nil && !isGone(err) {
		return err
	}
	return nil
}

// isNamed says whether a filter is in our place and bears our name, which is all that those of every version have in common.
func isNamed(message []byte) bool {
	tc := nl.DeserializeTcMsg(message)
	options, ok := optionsOf(message)
	return ok && tc.Handle == filterHandle && tc.Info>>16 == filterPriority && string(options[nl.TCA_BPF_NAME].Value) == filterName+"\x00"
}

// isGone says that what was asked for is not there, or not on a kernel that knows it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

// dumpClsact reads the filters of a direction: none where the qdisc or the interface is not there.
func dumpClsact(ifindex int, dir flow.Direction) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETTFILTER, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(ifindex), Parent: clsactParent(dir)})
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWTFILTER)
	if isGone(err) {
		return nil, nil
	}
	return messages, err
}

// lookClsact looks for our programs among the filters that every packet comes by: those of chain 0. It reads no more of
// other filters than their kind, so none of them can be in its way.
func lookClsact(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]State) (State, error) {
	messages, err := dumpClsact(ifindex, dir)
	found := Bare
	for _, m := range messages {
		if id, ok := programOf(m); ok {
			found = max(found, ours[id])
		}
	}
	return found, err
}

// programOf reads which program a filter of chain 0 runs, if its kind is bpf and the program decides by itself.
func programOf(message []byte) (ebpf.ProgramID, bool) {
	options, ok := optionsOf(message)
	flags, id := options[nl.TCA_BPF_FLAGS].Value, options[nl.TCA_BPF_ID].Value
	if !ok || len(flags) != 4 || len(id) != 4 || nl.NativeEndian().Uint32(flags)&nl.TCA_BPF_FLAG_ACT_DIRECT == 0 {
		return 0, false
	}
	return ebpf.ProgramID(nl.NativeEndian().Uint32(id)), true
}

// optionsOf are the attributes of a filter of chain 0 whose kind is bpf.
func optionsOf(message []byte) (map[uint16]syscall.NetlinkRouteAttr, bool) {
	attrs, err := nl.ParseRouteAttrAsMap(message[nl.SizeofTcMsg:])
	if err != nil || string(attrs[nl.TCA_KIND].Value) != "bpf\x00" {
		return nil, false
	}
	if chain := attrs[nl.TCA_CHAIN].Value; len(chain) == 4 && nl.NativeEndian().Uint32(chain) != 0 {
		return nil, false
	}
	options, err := nl.ParseRouteAttrAsMap(attrs[nl.TCA_OPTIONS].Value)
	return options, err == nil
}
