package enforce

import (
	"slices"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Legend leads from the numbers in an Image — those an event of the kernel carries — back to policies and rules.
type Legend struct {
	sets    map[uint32]*Set
	classes map[uint32]*class
}

func (b *builder) legend() *Legend {
	l := &Legend{sets: map[uint32]*Set{}, classes: map[uint32]*class{}}
	for _, s := range b.prog.Sets {
		if !s.empty() {
			l.sets[uint32(b.setNum[s.id])] = s
		}
	}
	for _, c := range b.classes.list {
		l.classes[b.classNumber(c)] = c
	}
	return l
}

// Rules returns where the rules come from that allow a port of a protocol to the peers of a class under a set; none where
// it is denied. The order is that of Set.Rules.
func (l *Legend) Rules(set, class uint32, proto flow.Protocol, port uint16) []Origin {
	s, c := l.sets[set], l.classes[class]
	if s == nil || c == nil {
		return nil
	}
	var origins []Origin
	for _, r := range s.Rules {
		if slices.Contains(c.peers, r.Peers) && r.Ports.Contains(proto, port) {
			origins = append(origins, r.Origin)
		}
	}
	return slices.Compact(origins)
}
