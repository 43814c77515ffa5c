package bpf

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Prefix6 is a place for prefixes of 120 bits: see struct prefix6 in layout.h.
type Prefix6 = kernelPrefix6

// prefixBits is the length of the prefixes that have a page.
const prefixBits = 120

// ErrNoPlace says that a prefix cannot be placed where the programs would find it.
var ErrNoPlace = errors.New("no place for a prefix")

// halves are the two numbers that the programs know an address by, as they lie in memory.
func halves(a [16]byte) (high, low uint64) {
	return binary.LittleEndian.Uint64(a[:8]), binary.LittleEndian.Uint64(a[8:])
}

// prefixPlace is where the search for a prefix begins; prefix_place in policy.h is the same, and TestPrefixesAreFound shows
// it.
func prefixPlace(high, low uint64) int {
	return int((high*0x9e3779b97f4a7c15 ^ low) * 0xc2b2ae3d27d4eb4f >> 48)
}

// PutPrefix6 enters a prefix of 120 bits that leads to a page of Image.Peers4, in which a slot is a class. Whether
// others find their place may depend on the order, so that callers should sort. The error is ErrNoPlace.
func (img *Image) PutPrefix6(p netip.Prefix, page int) error {
	if img.Prefixes6 == nil {
		img.Prefixes6 = make([]Prefix6, len(kernelPrefixBank{}.Prefixes))
	}
	high, low := halves(p.Masked().Addr().As16())
	at := prefixPlace(high, low)
	for i := range int(kernelPrefix6SearchPREFIX6PLACES) {
		place := &img.Prefixes6[(at+i)%len(img.Prefixes6)]
		for way := range place.Page {
			if place.Page[way] == 0 {
				place.High[way], place.Low[way], place.Page[way] = high, low, uint16(page)
				return nil
			}
		}
	}
	return ErrNoPlace
}

// Each calls f with the prefixes of a place and the pages that they lead to.
func (p *Prefix6) Each(f func(prefix netip.Prefix, page uint32)) {
	for way, page := range p.Page {
		if page == 0 {
			continue
		}
		var a [16]byte
		binary.LittleEndian.PutUint64(a[:8], p.High[way])
		binary.LittleEndian.PutUint64(a[8:], p.Low[way])
		f(netip.PrefixFrom(netip.AddrFrom16(a), prefixBits), uint32(page))
	}
}

// otherwise6 is the slot of the IPv6 addresses that no page knows. A prefix that contains all of them needs no search.
func (img *Image) otherwise6() (slot uint32) {
	for _, n := range img.Nets {
		if n.Bits == 0 {
			slot |= n.Class
		} else if !netip.AddrFrom16(n.Addr).Is4In6() {
			slot |= PeerSparse
		}
	}
	for _, h := range img.Hosts {
		if !netip.AddrFrom16(h.Addr).Is4In6() {
			return slot | PeerSparse
		}
	}
	return slot
}

func countPrefixes(b *kernelPrefixBank) (n int) {
	for i := range b.Prefixes {
		for _, page := range b.Prefixes[i].Page {
			if page != 0 {
				n++
			}
		}
	}
	return n
}
