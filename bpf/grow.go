package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/bits"
	"os"

	"github.com/cilium/ebpf"
)

// MostPeers is the largest Capacity.Hosts: 16,777,216 entries, of which the buckets alone take 256 MiB.
const MostPeers = 1 << 24

// GrowPeers makes room for so many addresses in the table of single ones, where there is less. No packet is judged otherwise meanwhile:
//
//  1. What is in force is written into a new table, and the programs of the node become ones that read that.
//  2. replace puts Program in place of each program that is attached. Nothing is written into either table before all are replaced.
//  3. The new table takes the old one's pin.
//
// After an error what is attached is right, and GrowPeers can be called again; if it is not, then Replace makes the programs read the
// old table again. The error wraps ErrTooLarge where the room is more than MostPeers.
func (n *Node) GrowPeers(addresses int, replace func() error) error {
	if addresses*banks <= n.opts.Capacity.Hosts {
		return nil
	}
	if addresses > MostPeers/banks {
		return fmt.Errorf("%w: %s holds %d addresses at most, %d are needed", ErrTooLarge, kernelMapPeerHosts, MostPeers/banks, addresses)
	}
	entries := 1 << bits.Len(uint(addresses*banks-1))
	if err := n.growPeers(uint32(entries), replace); err != nil {
		return fmt.Errorf("grow %s to %d entries: %w", kernelMapPeerHosts, entries, err)
	}
	return nil
}

func (n *Node) growPeers(entries uint32, replace func() error) (err error) {
	const name = kernelMapPeerHosts
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	spec.Maps[name].MaxEntries = entries
	next, err := n.emptyTable(name, spec.Maps[name])
	if err != nil {
		return err
	}
	defer func() {
		if next != nil {
			err = errors.Join(err, next.Close())
		}
	}()
	live := n.Epoch() & 1
	if err := writeMap(next, map[[16]byte]uint32{}, n.banks[live].hosts, hostKey(live), &Stats{}); err != nil {
		return err
	}
	tables := maps.Clone(n.maps)
	tables[name] = next
	if err := n.reload(tables, nil); err != nil {
		return err
	}
	n.mixed = true
	if err := replace(); err != nil {
		return err
	}
	if err := n.take(name, next); err != nil {
		return err
	}
	next = nil
	n.opts.Capacity.Hosts = int(entries)
	n.banks[live^1].hosts = map[[16]byte]uint32{}
	n.mixed = false
	return n.RemoveStale()
}

// emptyTable makes a table that is to take the place of one of the node's, in place of what an earlier attempt has left.
func (n *Node) emptyTable(name string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if n.opts.Dir == "" {
		return ebpf.NewMap(spec)
	}
	path := n.pin(nextPin(name), n.shapes[name])
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return openTable(path, spec)
}
