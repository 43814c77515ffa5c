package core

import (
	"net/netip"
	"slices"
)

// routes are the host's ways to single addresses: of each address, those of all interfaces and metrics, in the order in
// which they were told.
type routes map[netip.Addr][]Route

// add notes a route. One that replaces others takes the place of all of its metric, as the kernel tells of none of
// these again.
func (r routes) add(in Route, replaces bool) {
	in.Addr = in.Addr.Unmap()
	r.drop(in.Addr, func(have Route) bool { return have == in || replaces && have.Metric == in.Metric })
	r[in.Addr] = append(r[in.Addr], in)
}

func (r routes) remove(gone Route) {
	gone.Addr = gone.Addr.Unmap()
	r.drop(gone.Addr, func(have Route) bool { return have == gone })
}

// forget removes all routes over an interface, and returns whether there were any.
func (r routes) forget(ifindex uint32) (changed bool) {
	for addr, ways := range r {
		r.drop(addr, func(have Route) bool { return have.Ifindex == ifindex })
		changed = changed || len(r[addr]) < len(ways)
	}
	return changed
}

func (r routes) drop(addr netip.Addr, which func(Route) bool) {
	if r[addr] = slices.DeleteFunc(r[addr], which); len(r[addr]) == 0 {
		delete(r, addr)
	}
}

// best returns the interface that packets to an address take: that of the lowest metric and, where several have it, of
// the last one told.
func (r routes) best(addr netip.Addr) (ifindex uint32, ok bool) {
	var best Route
	for n, way := range r[addr] {
		if n == 0 || way.Metric <= best.Metric {
			best = way
		}
	}
	return best.Ifindex, len(r[addr]) > 0
}

// leadTo says whether there is a route to some address over an interface.
func (r routes) leadTo(ifindex uint32) bool {
	for _, ways := range r {
		if slices.ContainsFunc(ways, func(way Route) bool { return way.Ifindex == ifindex }) {
			return true
		}
	}
	return false
}

// reached lists, by interface, the addresses whose packets take it.
func (r routes) reached() map[uint32][]netip.Addr {
	to := map[uint32][]netip.Addr{}
	for addr := range r {
		if ifindex, ok := r.best(addr); ok {
			to[ifindex] = append(to[ifindex], addr)
		}
	}
	return to
}
