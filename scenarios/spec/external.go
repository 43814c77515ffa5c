package spec

import (
	"net/netip"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// externalPrefix is what names of hosts outside the cluster begin with.
const externalPrefix = "external/"

// firstOutside is the first address that a host outside gets: of the block that RFC 5737 sets aside for examples.
var firstOutside = netip.MustParseAddr("203.0.113.10")

// readExternal gives the hosts outside their addresses.
func (s *Scenario) readExternal() strict.Errors {
	var errs strict.Errors
	taken := map[netip.Addr]bool{}
	names := map[string]bool{}
	for i := range s.External {
		e := &s.External[i]
		addr, err := e.addr(taken)
		switch {
		case !scenarioName(e.Name) || names[e.Name]:
			errs = append(errs, e.Node().At("name").Errorf(
				"external: %q is no name of lower-case letters, digits and dashes, or is taken", e.Name))
		case err != nil:
			errs = append(errs, err)
		}
		taken[addr], names[e.Name] = true, true
		s.outside = append(s.outside, Host{Name: externalPrefix + e.Name, Addrs: twins(s.families, addr)})
	}
	return errs
}

// addr returns the stated address, or the next that is free.
func (e *External) addr(taken map[netip.Addr]bool) (netip.Addr, *strict.Error) {
	addr := firstOutside
	for taken[addr] {
		addr = addr.Next()
	}
	if e.Address == "" {
		return addr, nil
	}
	addr, err := netip.ParseAddr(e.Address)
	if err != nil || !addr.Is4() || taken[addr] {
		return firstOutside, e.Node().At("address").Errorf("external: %q is no IPv4 address, or is taken", e.Address)
	}
	return addr, nil
}

func twins(families []flow.Family, addr netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, f := range families {
		all = append(all, twinAddr(f, addr))
	}
	return all
}
