package bpf

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// Introduce writes the entry of a pod of which nothing is known yet, whatever its Sets say: the node's mode decides, and
// in standard mode its flows are tracked. It takes one write and does not touch the tables. What an interface's former
// pod left there is replaced; a pod of the same instance stays as it is.
func (n *Node) Introduce(p Pod) error {
	p.Sets = [2]uint32{SetUnknown, SetUnknown}
	entries, err := podEntries([]Pod{p})
	if err != nil {
		return err
	}
	if n.pods[p.Ifindex].Instance == p.Instance {
		return nil
	}
	return n.putPod(p.Ifindex, entries[p.Ifindex])
}

// Pods returns the entries that the kernel holds, with the sets that are in force, sorted by interface. Until the first Sync, those are among
// them that a version with other tables left; what is in force for them is in those.
func (n *Node) Pods() []Pod {
	live := n.Epoch() & 1
	all := make(map[uint32]kernelPod, len(n.pods)+len(n.former))
	maps.Copy(all, n.former)
	maps.Copy(all, n.pods)
	list := make([]Pod, 0, len(all))
	for _, ifindex := range slices.Sorted(maps.Keys(all)) {
		e := all[ifindex]
		p := Pod{Ifindex: ifindex, Instance: e.Instance, MayRoute: e.MayRoute != 0, Sets: e.Bank[live].Set}
		if e.HasIp4 != 0 {
			var ip [4]byte
			binary.NativeEndian.PutUint32(ip[:], e.Ip4)
			p.IP4 = netip.AddrFrom4(ip)
		}
		if e.HasIp6 != 0 {
			p.IP6 = netip.AddrFrom16(e.Ip6)
		}
		list = append(list, p)
	}
	return list
}
