package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
)

const (
	// knownPin is where the pods are noted that have an entry, in a form that every version reads: one that lays out its tables
	// otherwise begins with empty ones, and of many a pod nothing else says whose interface it is. Another form gets another name.
	knownPin = "known-pods-1"
	knownMap = "known_pods"

	maxKnown   = 8192 // more than a node has pods
	noPrealloc = 1    // BPF_F_NO_PREALLOC of <linux/bpf.h>
)

// known is what is noted of a pod, by the index of its interface.
type known struct {
	Instance                 uint32
	HasIP4, HasIP6, MayRoute uint8
	_                        uint8
	IP4                      uint32 // as it lies in memory
	IP6                      [16]byte
}

func knownOf(e kernelPod) known {
	return known{Instance: e.Instance, HasIP4: e.HasIp4, HasIP6: e.HasIp6, MayRoute: e.MayRoute, IP4: e.Ip4, IP6: e.Ip6}
}

// entry is the pod's, without sets.
func (k known) entry(ifindex uint32) kernelPod {
	return kernelPod{
		Ifindex: ifindex, Instance: k.Instance, HasIp4: k.HasIP4, HasIp6: k.HasIP6, MayRoute: k.MayRoute, Ip4: k.IP4, Ip6: k.IP6,
	}
}

// openKnown opens the map of the pods that are noted, and reads it where no version with tables of this layout has come into force yet.
func (n *Node) openKnown() (err error) {
	if n.noted, err = n.openNotes(knownMap, knownPin, binary.Size(known{})); err != nil {
		return err
	}
	n.former = map[uint32]kernelPod{}
	if n.Epoch() > 0 {
		return nil
	}
	return readMap(n.noted, func(ifindex uint32, k known) { n.former[ifindex] = k.entry(ifindex) })
}

// openNotes opens a map in which something is noted by interface.
func (n *Node) openNotes(name, pin string, valueSize int) (m *ebpf.Map, err error) {
	spec := &ebpf.MapSpec{
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: uint32(valueSize), MaxEntries: maxKnown, Flags: noPrealloc,
	}
	if n.opts.Dir == "" {
		m, err = ebpf.NewMap(spec)
	} else {
		m, err = openTable(filepath.Join(n.opts.Dir, pin), spec)
	}
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	return m, nil
}

// note writes down whose interface it is.
func (n *Node) note(ifindex uint32, e kernelPod) error {
	if err := n.noted.Put(ifindex, knownOf(e)); err != nil {
		return fmt.Errorf("note pod on interface %d: %w", ifindex, err)
	}
	return nil
}

// forget removes what is noted of an interface.
func (n *Node) forget(ifindex uint32) error {
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
