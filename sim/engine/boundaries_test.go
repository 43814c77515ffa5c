package engine_test

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model"
)

// boundaries are the values on both sides of every edge that policies or tables draw through addresses and ports. Between
// two neighbours of them nothing is told apart, so they stand for all addresses and ports.
type boundaries struct {
	addrs map[netip.Addr]bool
	ports map[uint16]bool
}

// findBoundaries collects the edges that the policies of a cluster name, and those found in the tables of its nodes.
func findBoundaries(c *model.Cluster, images []*bpf.Image) boundaries {
	b := boundaries{map[netip.Addr]bool{}, map[uint16]bool{0: true}} // no rule speaks of port 0, but packets do
	for _, p := range c.Policies {
		for _, r := range p.Spec.Ingress {
			b.addRule(r.Ports, r.From)
		}
		for _, r := range p.Spec.Egress {
			b.addRule(r.Ports, r.To)
		}
	}
	for _, p := range c.Pods {
		for _, container := range p.Spec.Containers {
			for _, port := range container.Ports {
				b.addPorts(port.ContainerPort, port.ContainerPort)
			}
		}
	}
	for _, img := range images {
		b.addTables(img)
	}
	return b
}

func (b boundaries) sortedAddrs() []netip.Addr {
	return slices.SortedFunc(maps.Keys(b.addrs), netip.Addr.Compare)
}

func (b boundaries) sortedPorts() []uint16 { return slices.Sorted(maps.Keys(b.ports)) }

func (b boundaries) addRule(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer) {
	for _, p := range ports {
		if p.Port == nil || p.Port.IntVal == 0 {
			continue // all of them, or a name: the containers' ports are there
		}
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		b.addPorts(p.Port.IntVal, last)
	}
	for _, peer := range peers {
		if peer.IPBlock == nil {
			continue
		}
		for _, text := range append([]string{peer.IPBlock.CIDR}, peer.IPBlock.Except...) {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				b.addPrefix(prefix)
			}
		}
	}
}

// addPorts adds both sides of both ends of a range.
func (b boundaries) addPorts(first, last int32) {
	for _, port := range []int32{first - 1, first, last, last + 1} {
		if port >= 1 && port <= 65535 {
			b.ports[uint16(port)] = true
		}
	}
}

// addPrefix adds both sides of both ends of a prefix, but for the addresses that no packet can have.
func (b boundaries) addPrefix(p netip.Prefix) {
	first := p.Masked().Addr()
	last := lastOf(p)
	for _, a := range []netip.Addr{first.Prev(), first, last, last.Next()} {
		if a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.Is4In6() {
			b.addrs[a] = true
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := range bytes {
		for bit := range 8 {
			if 8*i+bit >= p.Bits() {
				bytes[i] |= 0x80 >> bit
			}
		}
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// addTables adds the edges between entries of the tables.
func (b boundaries) addTables(img *bpf.Image) {
	for i := range img.Prefixes6 {
		img.Prefixes6[i].Each(func(p netip.Prefix, page uint32) { b.addPage6(img, p, page) })
	}
	for _, h := range img.Hosts {
		b.addEntry(h.Addr, 128)
	}
	for _, n := range img.Nets {
		b.addEntry(n.Addr, int(n.Bits))
	}
	if len(img.Peers4) > 0 {
		b.addRoot(img)
	}
	for page := range img.PortPages {
		b.addPage(img, page)
	}
	for _, edge := range img.PortEdges {
		b.addPorts(int32(edge&0xffff), int32(edge&0xffff))
	}
}

// addPage6 adds the ends of a prefix that has a page, and the places where a slot of the page differs from the one before it.
func (b boundaries) addPage6(img *bpf.Image, p netip.Prefix, page uint32) {
	b.addPrefix(p)
	a := p.Addr()
	for slot := 1; slot < bpf.Fanout; slot++ {
		a = a.Next()
		if img.Peers4[page].Slot[slot] != img.Peers4[page].Slot[slot-1] {
			b.addPrefix(netip.PrefixFrom(a, 128))
		}
	}
}

// addEntry adds a key of the tables of IPv6, where IPv4 addresses are mapped ones.
func (b boundaries) addEntry(addr [16]byte, bits int) {
	a := netip.AddrFrom16(addr)
	if a.Is4In6() {
		a, bits = a.Unmap(), bits-96
	}
	b.addPrefix(netip.PrefixFrom(a, bits))
}

// addRoot walks the pages of IPv4 addresses and adds the places where a slot differs from the one before it.
func (b boundaries) addRoot(img *bpf.Image) {
	before := uint16(0)
	for first := range bpf.Fanout {
		for second := range bpf.Fanout {
			before = b.addSlot(img, img.Peers4[first].Slot[second], uint32(first)<<24|uint32(second)<<16, 8, before)
		}
	}
}

// addSlot looks at a slot that stands for the addresses from start on; step is the shift of the next byte. It returns the
// class of the last of these addresses.
func (b boundaries) addSlot(img *bpf.Image, slot uint16, start uint32, step int, before uint16) uint16 {
	if uint32(slot)&bpf.PeerPage != 0 {
		for i, s := range img.Peers4[uint32(slot)&bpf.PeerPageMask].Slot {
			before = b.addSlot(img, s, start|uint32(i)<<step, step-8, before)
		}
		return before
	}
	if slot != before {
		var bytes [4]byte
		binary.BigEndian.PutUint32(bytes[:], start)
		b.addPrefix(netip.PrefixFrom(netip.AddrFrom4(bytes), 32))
	}
	return slot
}

// addPage adds the ports at which a page says something else than before.
func (b boundaries) addPage(img *bpf.Image, page int) {
	before := false
	for port := range 1 << 16 {
		leaf := img.PortPages[page].Leaf[port>>8]
		allowed := int(leaf) < len(img.PortLeaves) && img.PortLeaves[leaf].Bits[port>>6&3]>>(port&63)&1 == 1
		if port > 0 && allowed != before {
			b.addPorts(int32(port), int32(port))
		}
		before = allowed
	}
}
