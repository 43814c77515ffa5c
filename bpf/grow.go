package bpf

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"sync"

	"github.com/cilium/ebpf"
)

// MostPeers is the largest Capacity.Hosts: 16,777,216 entries, of which the buckets alone take 256 MiB.
const MostPeers = 1 << 24

// GrowPeers makes room for so many addresses in the table of single ones, where there is less. No packet is judged otherwise meanwhile:
//
//  1. Replace clears away what an earlier attempt has left, so that whatever fails there is one table beside that which is in force.
//  2. What is in force is written into a new table.
//  3. The programs of the node become ones that read that, and replace must put Program in place of each program that is attached; nothing is
//     written into either table before all are replaced. Meanwhile GrowPeers holds programs, as others must who use Program.
//  4. The new table takes the old one's pin.
//
// After an error what is attached is right, and GrowPeers can be called again; if it is not, then Replace makes the programs read the
// old table again. The error wraps ErrTooLarge where the room is more than MostPeers.
func (n *Node) GrowPeers(addresses int, programs sync.Locker, replace func() error) error {
	if addresses*banks <= n.opts.Capacity.Hosts {
		return nil
	}
	if addresses > MostPeers/banks {
		return fmt.Errorf("%w: %s holds %d addresses at most, %d are needed", ErrTooLarge, kernelMapPeerHosts, MostPeers/banks, addresses)
	}
	entries := 1 << bits.Len(uint(addresses*banks-1))
	if err := n.growPeers(uint32(entries), programs, replace); err != nil {
		return fmt.Errorf("grow %s to %d entries: %w", kernelMapPeerHosts, entries, err)
	}
	return nil
}

func (n *Node) growPeers(entries uint32, programs sync.Locker, replace func() error) error {
	// Programs of an earlier attempt hold its table, and may be attached: their pins go once they are known not to be.
	if err := n.Replace(programs, replace); err != nil {
		return err
	}
	next, err := n.largerPeers(entries)
	if err != nil {
		return err
	}
	return n.changePeers(next, programs, replace)
}

// largerPeers makes a table that holds what is in force.
func (n *Node) largerPeers(entries uint32) (*ebpf.Map, error) {
	const name = kernelMapPeerHosts
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	spec.Maps[name].MaxEntries = entries
	if err := n.dropNext(name); err != nil {
		return nil, err
	}
	next, err := n.nextTable(name, spec.Maps[name])
	if err != nil {
		return nil, err
	}
	live := n.Epoch() & 1
	if err := writeMap(next, map[[16]byte]uint32{}, n.banks[live].hosts, hostKey(live), &Stats{}); err != nil {
		return nil, errors.Join(err, next.Close(), n.dropNext(name))
	}
	return next, nil
}

// changePeers makes next the node's table of single addresses, or closes it.
func (n *Node) changePeers(next *ebpf.Map, programs sync.Locker, replace func() error) error {
	programs.Lock()
	defer programs.Unlock()
	const name = kernelMapPeerHosts
	tables := maps.Clone(n.maps)
	tables[name] = next
	n.mixed = true
	err := n.reload(tables, nil)
	if err == nil {
		err = replace()
	}
	if err == nil {
		err = n.take(name, next)
	}
	if n.maps[name] != next {
		return errors.Join(err, next.Close(), n.dropNext(name))
	}
	n.opts.Capacity.Hosts = int(next.MaxEntries())
	n.banks[(n.Epoch()&1)^1].hosts = map[[16]byte]uint32{}
	return errors.Join(err, n.replaced())
}
