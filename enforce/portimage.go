package enforce

import (
	"github.com/palisade-netpol/palisade/bpf"
)

// buildPorts lays out all combinations of ports that occur in a row: a word leads per protocol to a page, whose slots, by
// the upper byte of the port, are "none", "every" or a bitmap. Equal parts are one part.
func (b *builder) buildPorts() error {
	sets := map[string]portSet{}
	pages := map[digest]portPage{}
	leaves := map[digest]bpf.PortLeaf{}
	for _, s := range b.prog.Sets {
		for _, ports := range b.rows[s] {
			text := ports.String()
			if _, seen := sets[text]; !seen && !ports.All {
				sets[text] = newPortSet(ports, pages, leaves)
			}
		}
	}
	leafNum, leavesFit := placeKeys(leaves, int(bpf.PortsFirst), b.capacity.PortLeaves-int(bpf.PortsFirst))
	pageNum, pagesFit := placeKeys(pages, int(bpf.PortsFirst), b.capacity.PortPages-int(bpf.PortsFirst))
	switch {
	case !leavesFit:
		return tooLarge("port_leaves", b.capacity.PortLeaves, len(leaves))
	case !pagesFit:
		return tooLarge("port_pages", b.capacity.PortPages, len(pages))
	}
	b.img.PortPages, b.img.PortLeaves = bpf.PortTables()
	for id, leaf := range leaves {
		put(&b.img.PortLeaves, leafNum[id], leaf)
	}
	for id, page := range pages {
		put(&b.img.PortPages, pageNum[id], page.image(leafNum))
	}
	b.ports = map[string]uint32{(&Ports{All: true}).String(): bpf.PortsAll, "": bpf.PortsNone}
	for text, set := range sets {
		b.ports[text] = set.image(pageNum)
	}
	return nil
}

// portWord is what a slot of the port tables says before numbers are given: none, every, or see there.
type portWord struct {
	word uint32 // bpf.PortsNone or bpf.PortsEvery; bpf.PortsFirst: see next
	next digest
}

func (w portWord) image(numbers map[digest]int) uint32 {
	if w.word == bpf.PortsFirst {
		return uint32(numbers[w.next])
	}
	return w.word
}

// portSet is one word per protocol.
type portSet [len(portProtocols)]portWord

// portShifts are where a word of a row has the pages of portProtocols.
var portShifts = [len(portProtocols)]int{bpf.PortsTCPShift, bpf.PortsUDPShift, bpf.PortsSCTPShift}

func (s portSet) image(pageNum map[digest]int) (word uint32) {
	for i, w := range s {
		word |= w.image(pageNum) << portShifts[i]
	}
	return word
}

type portPage [bpf.Fanout]portWord

func (p portPage) image(leafNum map[digest]int) (page bpf.PortPage) {
	for i, w := range p {
		page.Leaf[i] = uint16(w.image(leafNum))
	}
	return page
}

func newPortSet(ports *Ports, pages map[digest]portPage, leaves map[digest]bpf.PortLeaf) (s portSet) {
	for i, ranges := range ports.ranges {
		s[i] = newPortWord(ranges, pages, leaves)
	}
	return s
}

func (h hasher) word(w portWord) {
	h.bytes([]byte{byte(w.word)})
	h.bytes(w.next[:])
}

// newPortWord lays out the ranges of one protocol, which are in normal form.
func newPortWord(ranges []portRange, pages map[digest]portPage, leaves map[digest]bpf.PortLeaf) portWord {
	if len(ranges) == 0 {
		return portWord{word: bpf.PortsNone}
	}
	if ranges[0] == (portRange{0, 65535}) {
		return portWord{word: bpf.PortsEvery}
	}
	var page portPage
	h := newHasher("port page")
	for upper := range page {
		page[upper] = newLeafWord(ranges, upper, leaves)
		h.word(page[upper])
	}
	id := h.sum()
	pages[id] = page
	return portWord{bpf.PortsFirst, id}
}

// newLeafWord lays out the 256 ports with the given upper byte.
func newLeafWord(ranges []portRange, upper int, leaves map[digest]bpf.PortLeaf) portWord {
	var leaf bpf.PortLeaf
	first, last, count := upper*bpf.Fanout, upper*bpf.Fanout+bpf.Fanout-1, 0
	for _, r := range ranges {
		for port := max(int(r.first), first); port <= min(int(r.last), last); port++ {
			leaf.Bits[(port%bpf.Fanout)/64] |= 1 << (port % 64)
			count++
		}
	}
	switch count {
	case 0:
		return portWord{word: bpf.PortsNone}
	case bpf.Fanout:
		return portWord{word: bpf.PortsEvery}
	}
	h := newHasher("port leaf")
	for _, bits := range leaf.Bits {
		h.bytes([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24),
			byte(bits >> 32), byte(bits >> 40), byte(bits >> 48), byte(bits >> 56)})
	}
	id := h.sum()
	leaves[id] = leaf
	return portWord{bpf.PortsFirst, id}
}
