package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ipv4Mapped is the length of the prefix under which IPv6 notation carries IPv4 addresses: ::ffff:0:0/96.
const ipv4Mapped = 96

// parseAddr reads an address without a zone. One that is IPv4 in IPv6 notation is IPv4, as it is on the wire.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(withoutLeadingZeros(s))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return a.Unmap(), nil
}

// parseAddrs reads a list of addresses. The error names those that are left out.
func parseAddrs(written []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	var errs []error
	for _, w := range written {
		a, err := parseAddr(w)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		addrs = append(addrs, a)
	}
	return addrs, errors.Join(errs...)
}

// parsePrefix reads a CIDR in every form that an API server has accepted, also before 1.36: host bits are masked,
// leading zeros are decimal, and IPv4 in IPv6 notation is IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	addr, length, found := strings.Cut(s, "/")
	p, err := netip.ParsePrefix(withoutLeadingZeros(addr) + "/" + trimZeros(length))
	if !found || err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a CIDR", s)
	}
	p = p.Masked()
	if p.Addr().Is4In6() && p.Bits() >= ipv4Mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-ipv4Mapped), nil
	}
	return p, nil
}

// withoutLeadingZeros drops those of dotted decimals: 010.0.0.1 has always meant 10.0.0.1 in the API.
func withoutLeadingZeros(s string) string {
	head, dotted := "", s
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 {
		head, dotted = s[:colon+1], s[colon+1:]
	}
	parts := strings.Split(dotted, ".")
	if len(parts) == 1 {
		return s
	}
	for i := range parts {
		parts[i] = trimZeros(parts[i])
	}
	return head + strings.Join(parts, ".")
}

// trimZeros drops leading zeros but keeps the last digit.
func trimZeros(s string) string {
	if trimmed := strings.TrimLeft(s, "0"); trimmed != "" || s == "" {
		return trimmed
	}
	return "0"
}
