package hostnet

import (
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
)

// shared is the index that the kernel gives for what is on several interfaces (TCM_IFINDEX_MAGIC_BLOCK).
const shared = -1

// touched says what messages are about, the same only once.
func touched(messages []syscall.NetlinkMessage) []core.FiltersTouched {
	var list []core.FiltersTouched
	seen := map[core.FiltersTouched]bool{}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWTFILTER, unix.RTM_DELTFILTER, unix.RTM_DELCHAIN, unix.RTM_NEWQDISC, unix.RTM_DELQDISC:
		default:
			continue
		}
		if len(m.Data) < nl.SizeofTcMsg {
			continue
		}
		t := core.FiltersTouched{Removed: m.Header.Type == unix.RTM_DELTFILTER || m.Header.Type == unix.RTM_DELQDISC}
		if ifindex := nl.DeserializeTcMsg(m.Data).Ifindex; ifindex != shared {
			t.Ifindex = uint32(ifindex)
		}
		if !seen[t] {
			seen[t] = true
			list = append(list, t)
		}
	}
	return list
}
