package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// knownPin is where the pods are noted that have an entry, in a form that every version reads: one that lays out its tables otherwise begins
// with empty ones, and of many a pod nothing else says whose interface it is. Another form gets another name.
const knownPin = "known-pods-1"

// known is what is noted of a pod, by the index of its interface.
type known struct {
	Instance                 uint32
	HasIP4, HasIP6, MayRoute uint8
	_                        uint8
	IP4                      [4]byte
	IP6                      [16]byte
}

// openKnown opens the map of the pods that are noted, and reads it where no version with tables of this layout has come into force yet.
func (n *Node) openKnown() (err error) {
	if n.opts.Dir == "" {
		return nil
	}
	n.noted, err = openTable(filepath.Join(n.opts.Dir, knownPin), &ebpf.MapSpec{
		Name: "known_pods", Type: ebpf.Hash, KeySize: 4, ValueSize: uint32(binary.Size(known{})),
		MaxEntries: maxKnown, Flags: noPrealloc,
	})
	if err != nil || n.Epoch() > 0 {
		return err
	}
	n.former = map[uint32]Pod{}
	var ifindex uint32
	var k known
	all := n.noted.Iterate()
	for all.Next(&ifindex, &k) {
		n.former[ifindex] = k.pod(ifindex)
	}
	return all.Err()
}

const (
	maxKnown   = 8192 // more than a node has pods
	noPrealloc = 1    // BPF_F_NO_PREALLOC of <linux/bpf.h>
)

func (k known) pod(ifindex uint32) Pod {
	p := Pod{Ifindex: ifindex, Instance: k.Instance, MayRoute: k.MayRoute != 0, Sets: [2]uint32{SetUnknown, SetUnknown}}
	if k.HasIP4 != 0 {
		p.IP4 = netip.AddrFrom4(k.IP4)
	}
	if k.HasIP6 != 0 {
		p.IP6 = netip.AddrFrom16(k.IP6)
	}
	return p
}

// note writes down whose interface it is.
func (n *Node) note(ifindex uint32, e kernelPod) error {
	if n.noted == nil {
		return nil
	}
	k := known{Instance: e.Instance, HasIP4: e.HasIp4, HasIP6: e.HasIp6, MayRoute: e.MayRoute, IP6: e.Ip6}
	binary.NativeEndian.PutUint32(k.IP4[:], e.Ip4)
	if err := n.noted.Put(ifindex, k); err != nil {
		return fmt.Errorf("note pod on interface %d: %w", ifindex, err)
	}
	return nil
}

// forget removes what is noted of an interface.
func (n *Node) forget(ifindex uint32) error {
	if n.noted == nil {
		return nil
	}
	if err := n.noted.Delete(ifindex); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget pod on interface %d: %w", ifindex, err)
	}
	return nil
}

// forgetFormer removes what other versions noted of pods that are not there any more.
func (n *Node) forgetFormer() error {
	for ifindex := range n.former {
		if _, ok := n.pods[ifindex]; !ok {
			if err := n.forget(ifindex); err != nil {
				return err
			}
		}
		delete(n.former, ifindex)
	}
	return nil
}
