package enforce

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"

	"github.com/palisade-netpol/palisade/bpf"
)

// buildPeers lays out which class each address has. IPv4 goes into pages by its bytes; where they would not all fit, the
// networks with the fewest entries move to the tables of single addresses and prefixes, under a PeerSparse slot.
func (b *builder) buildPeers() error {
	first6 := sort.Search(len(b.classes.prefixes), func(i int) bool { return !b.classes.prefixes[i].prefix.Addr().Is4() })
	v4, v6 := b.classes.prefixes[:first6], b.classes.prefixes[first6:]
	nets := planPages(v4, b.capacity.Peers4-bpf.Fanout)
	pages, ok := placeNetworks(nets, bpf.Fanout, b.capacity.Peers4-bpf.Fanout)
	if !ok {
		return tooLarge("peers4", b.capacity.Peers4, len(nets)+bpf.Fanout)
	}
	b.taken4, b.painted = map[int]bool{}, map[int]bool{}
	for _, page := range pages {
		b.taken4[page] = true
	}
	painter := painter{pages: pages, img: &b.img}
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

// placeNetworks gives networks numbers of pages.
func placeNetworks(nets []netip.Prefix, first, limit int) (pages map[netip.Prefix]int, ok bool) {
	byDigest := make(map[digest]netip.Prefix, len(nets))
	for _, n := range nets {
		h := newHasher("network")
		h.prefix(n)
		byDigest[h.sum()] = n
	}
	numbers, ok := placeKeys(byDigest, first, limit)
	pages = make(map[netip.Prefix]int, len(nets))
	for d, number := range numbers {
		pages[byDigest[d]] = number
	}
	return pages, ok
}

// within returns the network of the given length that p lies in.
func within(p netip.Prefix, bits int) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), bits).Masked()
}

// crowd is a network and how many prefixes of a list are longer than it and lie in it.
type crowd struct {
	net     netip.Prefix
	entries int
}

// crowds returns the networks of a length in which longer prefixes of a list lie, those with the most entries first. The list is sorted as
// that of classes, so that the prefixes of a network follow one another.
func crowds(list []classPrefix, bits int) []crowd {
	var found []crowd
	for _, p := range list {
		if p.prefix.Bits() <= bits {
			continue
		}
		net, last := within(p.prefix, bits), len(found)-1
		if last < 0 || found[last].net != net {
			found, last = append(found, crowd{net: net}), last+1
		}
		found[last].entries++
	}
	slices.SortFunc(found, func(x, y crowd) int {
		return cmp.Or(cmp.Compare(y.entries, x.entries), comparePrefix(x.net, y.net))
	})
	return found
}

// planPages returns the networks of 16 and 24 bits that get a page: those with the most entries, as far as there are pages. One of 24 bits
// needs the page of its 16 bits too. Addresses in networks without one are looked up in the tables of IPv6.
func planPages(v4 []classPrefix, room int) []netip.Prefix {
	var nets []netip.Prefix
	paged := map[netip.Prefix]bool{}
	for _, bits := range []int{16, 24} {
		for _, c := range crowds(v4, bits) {
			if len(nets) < room && (bits == 16 || paged[within(c.net, 16)]) {
				nets = append(nets, c.net)
				paged[c.net] = true
			}
		}
	}
	return nets
}

// painter writes classes into slots. Prefixes come with the longer ones after the shorter ones that contain them, so a
// page begins with the class of the slot that it replaces.
type painter struct {
	pages map[netip.Prefix]int
	img   *bpf.Image
	last  [4]found // by the bytes of the network
}

// found is a network and the page that it has, if any.
type found struct {
	net   netip.Prefix
	page  int
	paged bool
}

// page returns the page of the network of 16 or 24 bits around a prefix. Most have that of the prefix before.
func (p *painter) page(prefix netip.Prefix, bits int) (page int, paged bool) {
	last, net := &p.last[bits/8], within(prefix, bits)
	if last.net != net {
		page, paged = p.pages[net]
		*last = found{net, page, paged}
	}
	return last.page, last.paged
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
		n, paged := p.page(prefix, depth)
		if !paged {
			p.img.Peers4[page].Slot[slot] |= uint16(bpf.PeerSparse)
			p.list(prefix, class)
			return
		}
		p.hang(n, page, slot)
		page, slot = n, int(a[depth/8])
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

// hang makes page n, if it is new, hang at a slot of another one; it begins with the class of the slot.
func (p *painter) hang(n, parent, slot int) {
	above := p.img.Peers4[parent].Slot[slot]
	if uint32(above)&bpf.PeerPage != 0 {
		return
	}
	grow(&p.img.Peers4, n)
	for s := range p.img.Peers4[n].Slot {
		p.img.Peers4[n].Slot[s] = above
	}
	p.img.Peers4[parent].Slot[slot] = uint16(bpf.PeerPage) | uint16(n)
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
