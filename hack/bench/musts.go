package main

import (
	"strings"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

// factorIPv6 is how much more than the IPv4 figure of the same run an IPv6 figure may be.
const factorIPv6 = 1.6

// musts are the limits of all figures that have one. Those of IPv6, and of how a cost grows, follow from what was
// measured. Established packets are held to what the OK program can be compared with, final verdicts: without, the kernel goes on to look
// for filters of others, which alone takes two programs that do nothing to the limit ("UNSPEC program").
func musts(results []figure.Result) map[string]figure.Must {
	limits := map[string]figure.Must{
		"IPv4 established, 1 flow":                           {Ratio: 1.5},
		"IPv4 established, 65,536 flows, 131,072 peers":      {Ratio: 2.1},
		"IPv4 reply, 1 flow":                                 {Ratio: 1.6},
		"IPv4 reply, 65,536 flows":                           {Ratio: 6.2},
		"IPv4 denied SYN, by address, 1,024 peers":           {Ratio: 1.6},
		"IPv4 denied SYN, by address, 131,072 peers":         {Ratio: 2.1},
		"IPv4 denied SYN, by port, 1,024 peers":              {Ratio: 1.6},
		"IPv4 denied SYN, by port, 131,072 peers":            {Ratio: 2.1},
		"IPv4 new flow, no state needed":                     {Ratio: 1.7},
		"IPv4 new flow, with insert":                         {Ratio: 11},
		"IPv4 new flow, into full places, 1 peer":            {Ratio: 11},
		"IPv4 new flow, into full places, 1,024 peers":       {Ratio: 11},
		"veth TCP established: palisade, tcx, final verdict": {Ratio: 1.045},
		"veth UDP established: palisade, tcx, final verdict": {Ratio: 1.045},
		"veth TCP new flow: palisade, tcx, no state":         {Ratio: 1.07},
		"veth TCP new flow: palisade, tcx":                   {Ratio: 1.25},
		"attach a pod, clsact":                               {Time: 1e6},
		"kernel memory, 110 pods, 10,000 peers":              {Bytes: 16 << 20},
		"kernel memory, one more pod":                        {Bytes: 2000},
	}
	for _, r := range results {
		if four, ok := find(results, "IPv4 "+strings.TrimPrefix(r.Name, "IPv6 ")); ok && four.Name != r.Name {
			limits[r.Name] = figure.Must{Ratio: factorIPv6 * four.Ratio}
		}
	}
	for _, g := range growths() {
		limits[g.name] = figure.Must{Ratio: g.limit}
	}
	return limits
}

// growth compares two figures of one run.
type growth struct {
	name, from, to string
	limit          float64
}

func growths() []growth {
	return []growth{
		{"growth, IPv4 denied SYN, 1,024 to 131,072 peers",
			"IPv4 denied SYN, by port, 1,024 peers", "IPv4 denied SYN, by port, 131,072 peers", 1.35},
		{"growth, IPv4 denied SYN, 1 to 1,000 port ranges",
			"IPv4 denied SYN, by port, 1,024 peers", "IPv4 denied SYN, by port, 1,000 ranges", 1.05},
	}
}

// grown returns the lines of those growths whose two figures were measured.
func grown(results []figure.Result) []figure.Result {
	var lines []figure.Result
	for _, g := range growths() {
		from, ok := find(results, g.from)
		to, too := find(results, g.to)
		if ok && too {
			ratio := to.Ratio / from.Ratio
			lines = append(lines, figure.Result{Name: g.name, Base: from.Time, Time: to.Time, Ratio: ratio})
		}
	}
	return lines
}

func find(results []figure.Result, name string) (figure.Result, bool) {
	for _, r := range results {
		if r.Name == name {
			return r, true
		}
	}
	return figure.Result{}, false
}
