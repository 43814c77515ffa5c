package veth

import (
	"fmt"

	"github.com/palisade-netpol/palisade/bpf/hook"
)

// trafficKind makes a kind of traffic between the pods of a bed.
type trafficKind struct {
	name, unit string // unit is what the table counts per second
	make       func(*bed) (*traffic, error)
}

func trafficKinds() []trafficKind {
	return []trafficKind{
		{"TCP established", "packets", tcpEstablished},
		{"UDP established", "packets", udpEstablished},
		{"TCP new flow", "packets", tcpNew},
		{"TCP connection", "connections", tcpConnections},
		{"UDP request and answer", "round trips", udpTrips},
		{"TCP throughput", "MB", tcpStream},
	}
}

// filterKind makes a filter in a bed that it shares with the other kinds of its family.
type filterKind struct {
	name, family string
	optional     bool // left out, with the reason, where the machine has no such thing
	make         func(*bed) (*filter, error)
}

// baseName is the filter that all others are compared with, the first kind.
const baseName = "no program"

// filterKinds are all filters; rule sets of more than most rules are left to a longer run.
func filterKinds(most int) []filterKind {
	kinds := []filterKind{
		{baseName, "programs", false, none},
		{"OK program, tcx", "programs", false, onTCX(tcActOK)},
		{"UNSPEC program, tcx", "programs", false, onTCX(tcActUnspec)},
		{"OK program, clsact", "programs", false, okClsact},
		{"palisade, tcx", "programs", false, palisadeKind(hook.TCX, bothWays, false)},
		{"palisade, clsact", "programs", false, palisadeKind(hook.Clsact, bothWays, false)},
		{"palisade, tcx, no state", "programs", false, palisadeKind(hook.TCX, oneWay, false)},
		{"palisade, tcx, final verdict", "programs", false, palisadeKind(hook.TCX, bothWays, true)},
		{"palisade, tcx, no state, final verdict", "programs", false, palisadeKind(hook.TCX, oneWay, true)},
		{"nftables conntrack only", "conntrack", true, nftConntrack},
	}
	for _, k := range []struct {
		format, family string
		make           func(*bed, int) (*filter, error)
	}{
		{"nftables %d rules", "nftables", nftRules},
		{"nftables set of %d", "nftables", nftSet},
		{"iptables %d rules", "iptables", iptablesRules},
		{"iptables ipset of %d", "iptables", iptablesSet},
	} {
		for _, n := range []int{10, 1000, 10000} {
			if n <= most {
				kinds = append(kinds, filterKind{
					fmt.Sprintf(k.format, n), k.family, true, func(b *bed) (*filter, error) { return k.make(b, n) },
				})
			}
		}
	}
	return kinds
}

func palisadeKind(mode hook.Mode, how isolation, final bool) func(*bed) (*filter, error) {
	return func(b *bed) (*filter, error) { return palisade(b, mode, how, final) }
}
