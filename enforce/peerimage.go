package enforce

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
)

// buildPeers lays out which class each address has. IPv4 goes into pages by its bytes; where they would not all fit, the
// networks with the fewest entries move to the tables of single addresses and prefixes, under a PeerSparse slot.
func (b *builder) buildPeers() error {
	var v4, v6 []classPrefix
	for _, p := range b.classes.prefixes {
		if p.prefix.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	plan := planPages(v4, b.capacity.Peers4-bpf.Fanout)
	numbers, ok := placeKeys(plan.dense, bpf.Fanout, b.capacity.Peers4-bpf.Fanout)
	if !ok {
		return tooLarge("peers4", b.capacity.Peers4, len(plan.dense)+bpf.Fanout)
	}
	b.taken4, b.painted = map[int]bool{}, map[int]bool{}
	for _, page := range numbers {
		b.taken4[page] = true
	}
	painter := painter{plan: plan, numbers: numbers, img: &b.img}
	if len(v4) > 0 {
		b.img.Peers4 = make([]bpf.AddrPage, bpf.Fanout)
	}
	for _, p := range v4 {
		painter.paint(p.prefix, b.classNumber(p.class))
	}
	if err := b.buildPeers6(v6, painter); err != nil {
		return err
	}
	slices.SortFunc(b.img.Hosts, func(x, y bpf.Host) int { return bytesCompare(x.Addr, y.Addr) })
	slices.SortFunc(b.img.Nets, func(x, y bpf.Net) int {
		return cmp.Or(bytesCompare(x.Addr, y.Addr), cmp.Compare(x.Bits, y.Bits))
	})
	return nil
}

func bytesCompare(a, b [16]byte) int { return slices.Compare(a[:], b[:]) }

// pagePlan says which networks of 16 or 24 bits get a page (dense) and below which slots addresses are looked up in the
// tables of IPv6 instead (sparse).
type pagePlan struct {
	dense  map[digest]netip.Prefix
	sparse map[netip.Prefix]bool
}

func networkDigest(p netip.Prefix) digest {
	h := newHasher("network")
	h.prefix(p)
	return h.sum()
}

// within returns the network of the given length that p lies in.
func within(p netip.Prefix, bits int) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), bits).Masked()
}

// planPages gives pages to the networks with the most entries, as far as there are pages. A network of 24 bits needs
// the page of its 16 bits too.
func planPages(v4 []classPrefix, room int) pagePlan {
	entries := map[netip.Prefix]int{}
	for _, p := range v4 {
		for _, bits := range []int{16, 24} {
			if p.prefix.Bits() > bits {
				entries[within(p.prefix, bits)]++
			}
		}
	}
	nets := make([]netip.Prefix, 0, len(entries))
	for n := range entries {
		nets = append(nets, n)
	}
	slices.SortFunc(nets, func(x, y netip.Prefix) int {
		return cmp.Or(cmp.Compare(x.Bits(), y.Bits()), cmp.Compare(entries[y], entries[x]), comparePrefix(x, y))
	})
	plan := pagePlan{dense: map[digest]netip.Prefix{}, sparse: map[netip.Prefix]bool{}}
	for _, n := range nets {
		if len(plan.dense) < room && !plan.covered(n) {
			plan.dense[networkDigest(n)] = n
		} else if !plan.covered(n) {
			plan.sparse[n] = true
		}
	}
	return plan
}

// covered says whether p lies in a sparse network.
func (plan *pagePlan) covered(p netip.Prefix) bool {
	return p.Bits() > 16 && plan.sparse[within(p, 16)] || p.Bits() > 24 && plan.sparse[within(p, 24)]
}

// painter writes classes into slots. Prefixes come with the longer ones after the shorter ones that contain them, so a
// page begins with the class of the slot that it replaces.
type painter struct {
	plan    pagePlan
	numbers map[digest]int
	img     *bpf.Image
}

func (p *painter) paint(prefix netip.Prefix, class uint32) {
	page, a := 0, prefix.Addr().As4()
	bits := prefix.Bits()
	page, slot := int(a[0]), int(a[1])
	if bits <= 8 {
		p.fillRoot(int(a[0]), 1<<(8-bits), class)
		return
	}
	for depth := 16; bits > depth; depth += 8 {
		net := within(prefix, depth)
		if p.plan.sparse[net] {
			p.img.Peers4[page].Slot[slot] |= uint16(bpf.PeerSparse)
			p.list(prefix, class)
			return
		}
		page, slot = p.page(net, page, slot), int(a[depth/8])
	}
	count := 1 << ((32 - bits) % 8)
	for s := slot; s < slot+count; s++ {
		p.img.Peers4[page].Slot[s] = uint16(class)
	}
}

// fillRoot gives all addresses with the given first bytes a class.
func (p *painter) fillRoot(first, count int, class uint32) {
	for page := first; page < first+count; page++ {
		for s := range p.img.Peers4[page].Slot {
			p.img.Peers4[page].Slot[s] = uint16(class)
		}
	}
}

// page returns the page for a network, which hangs at the given slot and is made of the slot's class if it is new.
func (p *painter) page(net netip.Prefix, parent, slot int) int {
	n := p.numbers[networkDigest(net)]
	above := p.img.Peers4[parent].Slot[slot]
	if uint32(above)&bpf.PeerPage != 0 {
		return n
	}
	grow(&p.img.Peers4, n)
	for s := range p.img.Peers4[n].Slot {
		p.img.Peers4[n].Slot[s] = above
	}
	p.img.Peers4[parent].Slot[slot] = uint16(bpf.PeerPage) | uint16(n)
	return n
}

// list enters a prefix into the tables of IPv6; an IPv4 one is IPv4-mapped there.
func (p *painter) list(prefix netip.Prefix, class uint32) {
	addr := prefix.Addr().As16()
	bits := prefix.Bits() + 128 - prefix.Addr().BitLen()
	if bits == 128 {
		p.img.Hosts = append(p.img.Hosts, bpf.Host{Addr: addr, Class: class})
		return
	}
	p.img.Nets = append(p.img.Nets, bpf.Net{Addr: addr, Bits: uint8(bits), Class: class})
}
