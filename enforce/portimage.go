package enforce

import (
	"cmp"
	"maps"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
)

// buildPorts lays out all combinations of ports that occur in a row. Those with the most ranges get pages, as far as there are any, and the
// others are listed.
func (b *builder) buildPorts() error {
	pages, listed := b.planPorts()
	numbers, ok := placeLists(listed, b.capacity.PortEdges)
	if !ok {
		return tooLarge("port_edges", b.capacity.PortEdges, edgesOf(listed))
	}
	b.ports = map[string]uint32{(&Ports{All: true}).String(): bpf.PortsAll, "": bpf.PortsNone}
	b.layPages(pages)
	for _, l := range listed {
		b.ports[l.text] = bpf.Listed(numbers[l.text], l.bits) | l.other
		for i, edge := range l.edges {
			put(&b.img.PortEdges, numbers[l.text]+i, edge)
		}
	}
	return nil
}

// planPorts says which combinations get pages, and which a list.
func (b *builder) planPorts() (portPages, []portList) {
	all := map[string]*Ports{}
	for _, s := range b.prog.Sets {
		for _, ports := range b.rows[s] {
			if !ports.All {
				all[ports.String()] = ports
			}
		}
	}
	delete(all, "")
	order := slices.SortedFunc(maps.Keys(all), func(x, y string) int {
		return cmp.Or(cmp.Compare(all[y].size(), all[x].size()), cmp.Compare(x, y))
	})
	chosen := portPages{map[string]portSet{}, map[digest]portPage{}, map[digest]bpf.PortLeaf{}}
	for i, text := range order {
		if !chosen.add(text, all[text], b.capacity) {
			return chosen, listPorts(order[i:], all)
		}
	}
	return chosen, nil
}

// portPages are combinations of ports that have pages: a word leads per protocol to a page, whose slots, by the upper byte of the port, are
// "none", "every" or a bitmap. Equal parts are one part.
type portPages struct {
	sets   map[string]portSet // by the normal form of the ports
	pages  map[digest]portPage
	leaves map[digest]bpf.PortLeaf
}

// add adds a combination. ok is false, and nothing added, where the tables have no room for it.
func (p portPages) add(text string, ports *Ports, c bpf.Capacity) (ok bool) {
	pages, leaves := map[digest]portPage{}, map[digest]bpf.PortLeaf{}
	set := newPortSet(ports, pages, leaves)
	if missing(p.pages, pages) > c.PortPages-int(bpf.PortsFirst) || missing(p.leaves, leaves) > c.PortLeaves-int(bpf.PortsFirst) {
		return false
	}
	maps.Copy(p.pages, pages)
	maps.Copy(p.leaves, leaves)
	p.sets[text] = set
	return true
}

// missing returns how many entries have would have with those of more.
func missing[K comparable, V any](have, more map[K]V) int {
	n := len(have)
	for k := range more {
		if _, ok := have[k]; !ok {
			n++
		}
	}
	return n
}

// layPages writes the pages and leaves, of which there are not too many, into the image.
func (b *builder) layPages(p portPages) {
	leafNum, _ := placeKeys(p.leaves, int(bpf.PortsFirst), b.capacity.PortLeaves-int(bpf.PortsFirst))
	pageNum, _ := placeKeys(p.pages, int(bpf.PortsFirst), b.capacity.PortPages-int(bpf.PortsFirst))
	b.img.PortPages, b.img.PortLeaves = bpf.PortTables()
	for id, leaf := range p.leaves {
		put(&b.img.PortLeaves, leafNum[id], leaf)
	}
	for id, page := range p.pages {
		put(&b.img.PortPages, pageNum[id], page.image(leafNum))
	}
	for text, set := range p.sets {
		b.ports[text] = set.image(pageNum)
	}
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

// portSet is one word per protocol, and what a word of a row says of those without ports.
type portSet struct {
	words [len(portProtocols)]portWord
	other uint32
}

// portShifts are where a word of a row has the pages of portProtocols.
var portShifts = [len(portProtocols)]int{bpf.PortsTCPShift, bpf.PortsUDPShift, bpf.PortsSCTPShift}

func (s portSet) image(pageNum map[digest]int) (word uint32) {
	for i, w := range s.words {
		word |= w.image(pageNum) << portShifts[i]
	}
	return word | s.other
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
		s.words[i] = newPortWord(ranges, pages, leaves)
	}
	s.other = ports.otherWord()
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
