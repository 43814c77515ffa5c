package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// Image is everything that user space says to the programs: the exact content of one bank of the tables, and the pods.
// The kernel is made to hold it (Node.Sync), and sim/datapath interprets the same value in Go. Indexes in an Image are those
// of the tables, so equal policies give equal Images, byte for byte. An Image is not modified once it was made.
type Image struct {
	// Peers4 maps IPv4 addresses to classes by their bytes. The first Fanout pages are selected by the first byte,
	// their slots by the second; a slot with PeerPage leads to the page for the next byte.
	Peers4 []AddrPage
	// Prefixes6 leads from an IPv6 prefix of 120 bits to a page of Peers4, whose slots are the classes of its addresses.
	Prefixes6 []Prefix6
	// Hosts and Nets hold the classes of all other IPv6 addresses and prefixes, and of IPv4 ones (IPv4-mapped) that lie
	// under a PeerSparse slot. Sorted by address, then by length; no duplicates.
	Hosts []Host
	Nets  []Net
	// Sets[set] leads by the upper bits of a class to one of Rows, which leads by the lower ones to the ports: class / RowClasses
	// and class % RowClasses.
	Sets []SetRows
	Rows []Row
	// PortPages and PortLeaves say which ports are allowed. Their first entries are those of PortTables.
	PortPages  []PortPage
	PortLeaves []PortLeaf
	// PortEdges are the lists that words of rows with PortsListed lead to: see Listed.
	PortEdges []uint32
	// Pods are the pods of the node, sorted by Ifindex, each of which occurs once.
	Pods []Pod
}

// PortTables returns port tables that say "none" and "every port" and nothing else, as every Image must have them.
func PortTables() ([]PortPage, []PortLeaf) {
	pages, leaves := make([]PortPage, PortsFirst), make([]PortLeaf, PortsFirst)
	for i := range pages[PortsEvery].Leaf {
		pages[PortsEvery].Leaf[i] = uint16(PortsEvery)
	}
	for i := range leaves[PortsEvery].Bits {
		leaves[PortsEvery].Bits[i] = ^uint64(0)
	}
	return pages, leaves
}

// Host is the class of one address.
type Host struct {
	Addr  [16]byte
	Class uint32
}

// Net is the class of the addresses in a prefix, but for those in a longer one. Bits counts from the start of the 16 bytes.
type Net struct {
	Addr  [16]byte
	Bits  uint8
	Class uint32
}

// Pod is one pod of the node.
type Pod struct {
	Ifindex uint32 // of the host's side of the pod's veth
	// Instance differs between all pods that ever use the same Ifindex, and is not 0: flows of another instance count
	// for nothing.
	Instance uint32
	IP4, IP6 netip.Addr // invalid where the pod has none
	MayRoute bool       // the pod may send from other addresses than its own
	Sets     [2]uint32  // by flow.Direction: SetUnknown, SetOpen, SetClosed or an index of Image.Sets
}

// Capacity is how many entries the tables of a node have. Zero fields mean the default.
type Capacity struct {
	// Entries of a bank of the arrays. They cannot be more than the default, since their sizes are compiled in.
	Peers4, Sets, Rows, PortPages, PortLeaves, PortEdges int
	Hosts, Nets                                          int // entries of both banks
	// Flows is how many are remembered per address family, rounded up to a power of two. A pinned table keeps its size
	// until MoveFlows.
	Flows int
}

// flowWays is how many flows share a place.
const flowWays = int(kernelFlowBitsFLOW_WAYS)

// flowPlaces returns the number of places for flows.
func (c Capacity) flowPlaces() uint32 {
	return 1 << bits.Len(uint(max(c.Flows, flowWays)-1)/uint(flowWays))
}

// DefaultCapacity holds 16,384 classes, 2,048 sets, and about 3,800 IPv4 networks of 256 addresses of which more than a
// handful occur in policies; the arrays take less than 12 MiB of kernel memory in all.
func DefaultCapacity() Capacity {
	var b *kernelRuleBank
	var p *kernelPortBank
	return Capacity{
		Peers4: len(kernelPeerBank{}.Pages), Sets: len(b.Sets), Rows: len(b.Rows), PortPages: len(p.PortPages), PortLeaves: len(p.PortLeaves),
		PortEdges: len(p.PortEdges),
		Hosts:     32 << 10, // a bucket of the hash takes 16 bytes also where it is empty
		Nets:      1 << 20,
		Flows:     128 << 10, // 4 MiB of IPv4, 6 MiB of IPv6
	}
}

// check refuses arrays that are larger than the compiled ones.
func (c Capacity) check() error {
	d := DefaultCapacity()
	for _, t := range []struct {
		name       string
		have, want int
	}{
		{"peers4", d.Peers4, c.Peers4}, {"sets", d.Sets, c.Sets}, {"rows", d.Rows, c.Rows},
		{"port_pages", d.PortPages, c.PortPages}, {"port_leaves", d.PortLeaves, c.PortLeaves},
		{"port_edges", d.PortEdges, c.PortEdges},
	} {
		if t.want > t.have {
			return fmt.Errorf("capacity: %s has %d entries in this build, %d are wanted", t.name, t.have, t.want)
		}
	}
	return nil
}

// OrDefault replaces zero fields by the default.
func (c Capacity) OrDefault() Capacity {
	d := DefaultCapacity()
	for _, f := range []struct{ v, def *int }{
		{&c.Peers4, &d.Peers4}, {&c.Sets, &d.Sets}, {&c.Rows, &d.Rows}, {&c.PortPages, &d.PortPages},
		{&c.PortLeaves, &d.PortLeaves}, {&c.PortEdges, &d.PortEdges}, {&c.Hosts, &d.Hosts}, {&c.Nets, &d.Nets},
		{&c.Flows, &d.Flows},
	} {
		if *f.v == 0 {
			*f.v = *f.def
		}
	}
	return c
}

// ErrTooLarge says that an Image does not fit into a Capacity.
var ErrTooLarge = errors.New("image larger than the tables")

// Fits returns nil, or an error that wraps ErrTooLarge and names each table that is too small.
func (img *Image) Fits(c Capacity) error {
	c = c.OrDefault()
	var errs []error
	for _, t := range []struct {
		name       string
		have, need int
	}{
		{"peers4", c.Peers4, len(img.Peers4)}, {"sets", c.Sets, len(img.Sets)}, {"rows", c.Rows, len(img.Rows)},
		{"port_pages", c.PortPages, len(img.PortPages)},
		{"port_leaves", c.PortLeaves, len(img.PortLeaves)}, {"port_edges", c.PortEdges, len(img.PortEdges)},
		{"prefixes6", len(kernelPrefixBank{}.Prefixes), len(img.Prefixes6)},
		{"peer_hosts", c.Hosts / banks, len(img.Hosts)}, {"peer_nets", c.Nets / banks, len(img.Nets)},
	} {
		if t.need > t.have {
			errs = append(errs, fmt.Errorf("%w: %s has %d entries, %d are needed", ErrTooLarge, t.name, t.have, t.need))
		}
	}
	return errors.Join(errs...)
}
