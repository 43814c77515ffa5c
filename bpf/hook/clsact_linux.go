package hook

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf/hook/dump"
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

// attachClsact replaces each filter in one netlink request, whether there was one or not.
func (h Hooks) attachClsact(ifindex int) error {
	socket, err := netlink.NewHandle(unix.NETLINK_ROUTE) // one for all requests: to make one takes 25 µs and more
	if err != nil {
		return fmt.Errorf("attach to interface %d: netlink: %w", ifindex, err)
	}
	defer socket.Close()
	err = socket.QdiscAdd(ClsactQdisc(ifindex))
	if errors.Is(err, unix.EEXIST) {
		// Perhaps another kind: one called ingress takes filters of both directions, and puts them all where packets come in.
		if err = socket.QdiscChange(ClsactQdisc(ifindex)); errors.Is(err, unix.EINVAL) {
			err = errors.New("somebody's ingress qdisc is in the place of clsact, which has to be removed, or a kernel that has tcx (6.6)")
		}
	}
	if err != nil {
		return fmt.Errorf("attach to interface %d: clsact: %w", ifindex, err)
	}
	return attachBoth(ifindex, func(dir flow.Direction) error { return socket.FilterReplace(h.filter(ifindex, dir)) })
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
	_, options, ok := filterOf(message)
	return ok && tc.Handle == filterHandle && priorityOf(message) == filterPriority && string(options[nl.TCA_BPF_NAME].Value) == filterName+"\x00"
}

// isGone says that what was asked for is not there, or not on a kernel that knows it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

// interfaces lists the interfaces of this network namespace.
func interfaces() ([]int, error) {
	links, err := dump.Whole(netlink.LinkList)
	list := make([]int, len(links))
	for i, l := range links {
		list[i] = l.Attrs().Index
	}
	return list, err
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
// other filters than their kind and name, so none of them can be in its way.
func lookClsact(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]version) (found onHook, err error) {
	messages, err := dumpClsact(ifindex, dir)
	slices.SortStableFunc(messages, func(a, b []byte) int { return cmp.Compare(priorityOf(a), priorityOf(b)) })
	for _, m := range messages {
		kind, options, ok := filterOf(m)
		if !ok {
			continue
		}
		var v version
		if id, decides := programOf(options); decides {
			v = ours[id]
		}
		found.add(v, func() string {
			name := strings.TrimRight(string(options[nl.TCA_BPF_NAME].Value), "\x00")
			return strings.TrimSpace(fmt.Sprintf("%s filter of priority %d %s", kind, priorityOf(m), name))
		})
	}
	return found, err
}

func priorityOf(message []byte) uint32 { return nl.DeserializeTcMsg(message).Info >> 16 }

// programOf reads which program a filter runs, if its kind is bpf and the program decides by itself.
func programOf(options map[uint16]syscall.NetlinkRouteAttr) (ebpf.ProgramID, bool) {
	flags, id := options[nl.TCA_BPF_FLAGS].Value, options[nl.TCA_BPF_ID].Value
	if len(flags) != 4 || len(id) != 4 || nl.NativeEndian().Uint32(flags)&nl.TCA_BPF_FLAG_ACT_DIRECT == 0 {
		return 0, false
	}
	return ebpf.ProgramID(nl.NativeEndian().Uint32(id)), true
}

// filterOf reads the kind of a filter of chain 0, and the attributes of one whose kind is bpf. What has no handle is no filter, but the
// list of all of a priority.
func filterOf(message []byte) (kind string, options map[uint16]syscall.NetlinkRouteAttr, ok bool) {
	attrs, err := nl.ParseRouteAttrAsMap(message[nl.SizeofTcMsg:])
	if err != nil || nl.DeserializeTcMsg(message).Handle == 0 {
		return "", nil, false
	}
	if chain := attrs[nl.TCA_CHAIN].Value; len(chain) == 4 && nl.NativeEndian().Uint32(chain) != 0 {
		return "", nil, false
	}
	kind = strings.TrimRight(string(attrs[nl.TCA_KIND].Value), "\x00")
	if kind != "bpf" {
		return kind, nil, true
	}
	options, err = nl.ParseRouteAttrAsMap(attrs[nl.TCA_OPTIONS].Value)
	return kind, options, err == nil
}
