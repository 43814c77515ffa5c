package enforce

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
)

// portList is a combination of ports that has no page: the edges of its ranges, to be searched, in a list of 2^bits.
type portList struct {
	text  string // the normal form of the ports
	edges []uint32
	bits  int
	other uint32 // what the word says of protocols without ports
}

// listPorts makes lists of combinations of ports.
func listPorts(texts []string, all map[string]*Ports) []portList {
	lists := make([]portList, len(texts))
	for i, text := range texts {
		edges := all[text].edges()
		n := max(1, bits.Len(uint(max(1, len(edges))-1)))
		for len(edges) < 1<<n {
			edges = append(edges, bpf.PortEdgesEnd)
		}
		lists[i] = portList{text, edges, n, all[text].otherWord()}
	}
	return lists
}

// edges lists the first port of each range and the one after its last, in ascending order, as bpf.Image.PortEdges has them.
func (p *Ports) edges() []uint32 {
	edges := make([]uint32, 0, 2*p.size())
	for i, ranges := range p.ranges {
		protocol := uint32(i) << bpf.PortEdgesProtocolShift
		for _, r := range ranges {
			edges = append(edges, protocol|uint32(r.first), protocol+uint32(r.last)+1)
		}
	}
	return edges
}

// edgesOf returns how many edges lists take.
func edgesOf(lists []portList) (n int) {
	for _, l := range lists {
		n += len(l.edges)
	}
	return n
}

// placeLists gives each list a place of its own among room edges, at a multiple of its size. As with place, it follows from what the list
// holds. The largest ones come first: what is left then is always whole places of the next size. ok is false where they are too many, or one
// is longer than lists can be.
func placeLists(lists []portList, room int) (places map[string]int, ok bool) {
	room = min(room, roomFor(edgesOf(lists)))
	taken := make([]bool, room)
	places = make(map[string]int, len(lists))
	for _, l := range slices.SortedFunc(slices.Values(lists), func(x, y portList) int {
		return cmp.Or(cmp.Compare(y.bits, x.bits), cmp.Compare(x.text, y.text))
	}) {
		size := len(l.edges)
		slots := room / size
		if slots == 0 || size > bpf.MostEdges {
			return nil, false
		}
		h := newHasher("ports")
		h.str(l.text)
		slot := int(h.sum().number() % uint64(slots))
		for tries := 0; taken[slot*size]; slot = (slot + 1) % slots {
			if tries++; tries == slots {
				return nil, false
			}
		}
		for i := range size {
			taken[slot*size+i] = true
		}
		places[l.text] = slot * size
	}
	return places, true
}
