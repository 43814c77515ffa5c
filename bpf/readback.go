package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// readBack learns what the kernel's tables hold: after a restart the difference is computed against that, not against
// what an earlier process believed.
func (n *Node) readBack() error {
	c := n.opts.Capacity
	for b := range uint32(banks) {
		have := &n.banks[b]
		have.hosts, have.nets = map[[16]byte]uint32{}, map[prefix]uint32{}
		err := errors.Join(
			readTable(n.maps[kernelMapPeers4], b, c.Peers4, &have.peers4),
			readTable(n.maps[kernelMapSets], b, c.Sets, &have.sets),
			readTable(n.maps[kernelMapRows], b, c.Rows, &have.rows),
			readTable(n.maps[kernelMapPortSets], b, c.PortSets, &have.portSets),
			readTable(n.maps[kernelMapPortPages], b, c.PortPages, &have.portPages),
			readTable(n.maps[kernelMapPortLeaves], b, c.PortLeaves, &have.portLeaves),
		)
		if err != nil {
			return err
		}
	}
	return errors.Join(n.readPeers(), n.readPods())
}

// readTable reads bank b of an array, without the zero entries at its end.
func readTable[T comparable](m *ebpf.Map, b uint32, size int, have *[]T) error {
	all, err := readArray[T](m)
	if err != nil {
		return err
	}
	mine := all[int(b)*size:][:size]
	var zero T
	for len(mine) > 0 && mine[len(mine)-1] == zero {
		mine = mine[:len(mine)-1]
	}
	*have = mine
	return nil
}

// readArray reads a whole array, with few system calls where the kernel can (5.6).
func readArray[T any](m *ebpf.Map) ([]T, error) {
	size := int(m.MaxEntries())
	keys, values := make([]uint32, size), make([]T, size)
	var cursor ebpf.MapBatchCursor
	n, err := m.BatchLookup(&cursor, keys, values, nil)
	if err == nil || errors.Is(err, ebpf.ErrKeyNotExist) {
		if n != size {
			return nil, fmt.Errorf("read %v: %d of %d entries", m, n, size)
		}
		return values, nil
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return nil, fmt.Errorf("read %v: %w", m, err)
	}
	for i := range values {
		if err := m.Lookup(uint32(i), &values[i]); err != nil {
			return nil, fmt.Errorf("read %v: %w", m, err)
		}
	}
	return values, nil
}

func (n *Node) readPeers() error {
	var class uint32
	var host kernelHostKey
	hosts := n.maps[kernelMapPeerHosts].Iterate()
	for hosts.Next(&host, &class) {
		n.banks[host.Bank&1].hosts[host.Addr] = class
	}
	var net kernelNetKey
	nets := n.maps[kernelMapPeerNets].Iterate()
	for nets.Next(&net, &class) {
		n.banks[net.Bank&1].nets[prefix{net.Addr, uint8(net.PrefixLen - 32)}] = class
	}
	return errors.Join(hosts.Err(), nets.Err())
}

func (n *Node) readPods() error {
	n.pods = map[uint32]kernelPod{}
	near, err := readArray[kernelPod](n.maps[kernelMapPods])
	if err != nil {
		return err
	}
	for ifindex, p := range near {
		if p != (kernelPod{}) {
			n.pods[uint32(ifindex)] = p
		}
	}
	var ifindex uint32
	var p kernelPod
	far := n.maps[kernelMapPodsFar].Iterate()
	for far.Next(&ifindex, &p) {
		n.pods[ifindex] = p
	}
	return far.Err()
}
