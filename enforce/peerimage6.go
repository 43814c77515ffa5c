package enforce

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
)

// pageBits is the length of the IPv6 prefixes that get a page: a page tells their addresses apart.
const pageBits = 120

// buildPeers6 lays out the classes of IPv6 addresses. Networks of 256 addresses of which policies name single ones or parts get a page
// each, those with the most entries first, as far as IPv4 has left any; all else goes into the tables of single addresses and prefixes.
func (b *builder) buildPeers6(v6 []classPrefix, painter painter) error {
	pages, err := b.placePages6(v6)
	if err != nil {
		return err
	}
	var above []classPrefix // the prefixes that contain the one at hand, the longest last
	for _, p := range v6 {
		for len(above) > 0 && !above[len(above)-1].prefix.Overlaps(p.prefix) {
			above = above[:len(above)-1]
		}
		net := within(p.prefix, min(pageBits, p.prefix.Bits()))
		page, paged := pages[net]
		switch {
		case p.prefix.Bits() < pageBits || !paged:
			painter.list(p.prefix, b.classNumber(p.class))
		default:
			b.paintPage6(page, p, above)
		}
		if p.prefix.Bits() <= pageBits {
			above = append(above, p)
		}
	}
	return nil
}

// paintPage6 gives the addresses of p their class. A page that is new begins with the class of what contains it.
func (b *builder) paintPage6(page int, p classPrefix, above []classPrefix) {
	grow(&b.img.Peers4, page)
	slots := &b.img.Peers4[page].Slot
	if !b.painted[page] {
		b.painted[page] = true
		if len(above) > 0 {
			fill(slots[:], b.classNumber(above[len(above)-1].class))
		}
	}
	first := int(p.prefix.Masked().Addr().As16()[15])
	fill(slots[first:first+1<<(128-p.prefix.Bits())], b.classNumber(p.class))
}

func fill(slots []uint16, class uint32) {
	for i := range slots {
		slots[i] = uint16(class)
	}
}

// placePages6 chooses the networks that get a page, and enters them where the programs find them.
func (b *builder) placePages6(v6 []classPrefix) (map[netip.Prefix]int, error) {
	free := b.freePages()
	var nets []netip.Prefix
	for _, c := range crowds(v6, pageBits) {
		if len(nets) < len(free) {
			nets = append(nets, c.net)
		}
	}
	numbers, ok := placeNetworks(nets, 0, len(free))
	if !ok {
		return nil, tooLarge("peers4", len(free), len(nets))
	}
	slices.SortFunc(nets, comparePrefix)
	pages := map[netip.Prefix]int{}
	for _, n := range nets {
		page := free[numbers[n]]
		if err := b.img.PutPrefix6(n, page); errors.Is(err, bpf.ErrNoPlace) {
			continue // it goes into the other tables
		} else if err != nil {
			return nil, err
		}
		pages[n] = page
	}
	return pages, nil
}

// freePages returns the pages that IPv4 does not use, the last one first, so that those of IPv4 stay where they are as it grows.
func (b *builder) freePages() []int {
	var free []int
	for page := b.capacity.Peers4 - 1; page >= bpf.Fanout; page-- {
		if !b.taken4[page] {
			free = append(free, page)
		}
	}
	return free
}
