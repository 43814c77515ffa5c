package enforce

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// portRange is a range of ports, both ends included.
type portRange struct{ first, last uint16 }

// Ports is what a rule says of ports, in normal form: either everything, or ranges per protocol that are sorted, disjoint
// and not adjacent. The zero Ports allow nothing.
type Ports struct {
	// All allows every port of every protocol, also of protocols without ports, and other these only.
	All, other bool
	ranges     [3][]portRange // TCP, UDP, SCTP
}

// portProtocols gives the order of Ports.ranges.
var portProtocols = [3]flow.Protocol{flow.TCP, flow.UDP, flow.SCTP}

func protocolIndex(p flow.Protocol) int { return slices.Index(portProtocols[:], p) }

// add allows the ports first to last of a protocol.
func (p *Ports) add(proto flow.Protocol, first, last uint16) {
	i := protocolIndex(proto)
	p.ranges[i] = append(p.ranges[i], portRange{first, last})
}

// allBut allows everything but a range of ports.
func allBut(except PortRange) *Ports {
	p := &Ports{other: true}
	for _, proto := range portProtocols {
		if except.First > except.Last {
			return &Ports{All: true}
		}
		if except.First > 0 {
			p.add(proto, 0, except.First-1)
		}
		if except.Last < math.MaxUint16 {
			p.add(proto, except.Last+1, math.MaxUint16)
		}
	}
	p.normalize()
	return p
}

// normalize brings p into normal form.
func (p *Ports) normalize() {
	p.other = p.other && !p.All
	for i, ranges := range p.ranges {
		if p.All {
			p.ranges[i] = nil
			continue
		}
		p.ranges[i] = mergeRanges(ranges)
	}
}

func mergeRanges(ranges []portRange) []portRange {
	slices.SortFunc(ranges, func(a, b portRange) int { return int(a.first) - int(b.first) })
	var merged []portRange
	for _, r := range ranges {
		if n := len(merged); n > 0 && int(r.first) <= int(merged[n-1].last)+1 {
			merged[n-1].last = max(merged[n-1].last, r.last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// union returns what at least one of the given Ports allows.
func union(all []*Ports) *Ports {
	if len(all) == 1 {
		return all[0]
	}
	var u Ports
	for _, p := range all {
		u.All, u.other = u.All || p.All, u.other || p.other
		for i := range p.ranges {
			u.ranges[i] = append(u.ranges[i], p.ranges[i]...)
		}
	}
	u.normalize()
	return &u
}

// otherWord is what a word of a row says of protocols without ports.
func (p *Ports) otherWord() uint32 {
	if p.other {
		return bpf.PortsOther
	}
	return 0
}

// size returns how many ranges p has.
func (p *Ports) size() (n int) {
	for _, ranges := range p.ranges {
		n += len(ranges)
	}
	return n
}

// Contains says whether p allows a port of a protocol; port is ignored for protocols without ports.
func (p *Ports) Contains(proto flow.Protocol, port uint16) bool {
	if p.All {
		return true
	}
	i := protocolIndex(proto)
	if i < 0 {
		return p.other
	}
	return slices.ContainsFunc(p.ranges[i], func(r portRange) bool {
		return r.first <= port && port <= r.last
	})
}

// String returns the normal form, for example "TCP/80,TCP/8000-8080,UDP/0-65535", "TCP/1-79,other" or "all".
func (p *Ports) String() string {
	if p.All {
		return "all"
	}
	var parts []string
	for i, ranges := range p.ranges {
		for _, r := range ranges {
			s := fmt.Sprintf("%s/%d", portProtocols[i], r.first)
			if r.last != r.first {
				s += fmt.Sprintf("-%d", r.last)
			}
			parts = append(parts, s)
		}
	}
	if p.other {
		parts = append(parts, "other")
	}
	return strings.Join(parts, ",")
}
