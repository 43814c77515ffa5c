package datapath_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestSparseNetwork: below a slot that says so, IPv4 addresses are looked up among hosts, then prefixes, and what is in
// neither has the slot's own class.
func TestSparseNetwork(t *testing.T) {
	sparse := img("open", "peer:80") // class 1 may, the others may not
	sparse.Peers4[10].Slot[1] = uint16(bpf.PeerSparse | 1)
	sparse.Hosts = append(sparse.Hosts, bpf.Host{Addr: bpf.Mapped(netip.MustParseAddr("10.1.4.4")), Class: 1})
	sparse.Nets = []bpf.Net{
		{Addr: bpf.Mapped(netip.MustParseAddr("10.1.4.0")), Bits: 96 + 24, Class: 2},
		{Addr: bpf.Mapped(netip.MustParseAddr("10.1.4.128")), Bits: 96 + 25, Class: 3},
	}
	for _, c := range []struct {
		src  string
		want bpf.Outcome
	}{
		{"10.1.0.2", bpf.Outcome{Reason: bpf.ReasonPolicy, Set: bpf.SetFirst, Class: 1}},
		{"10.1.4.4", bpf.Outcome{Reason: bpf.ReasonPolicy, Set: bpf.SetFirst, Class: 1}},
		{"10.1.4.5", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst, Class: 2}},
		{"10.1.4.200", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst, Class: 3}},
		{"10.2.0.2", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst}},
	} {
		for i, run := range judges(t) {
			if got, err := run(sparse, tcp80(netip.MustParseAddr(c.src), podIP)); err != nil || got != c.want {
				t.Errorf("%s: %s says %+v (%v), want %+v", c.src, []string{"twin", "kernel"}[i], got, err, c.want)
			}
		}
	}
}

// TestMappedAddressIsNotIPv4: a rule for an IPv4 address says nothing of IPv6 packets from that address in its IPv4-mapped
// form, which nobody sends (RFC 4291, 2.5.5.2), wherever the tables keep it.
func TestMappedAddressIsNotIPv4(t *testing.T) {
	mapped := netip.AddrFrom16(bpf.Mapped(netip.MustParseAddr("10.1.4.4")))
	sparse := img("open", "peer:80")
	sparse.Peers4[10].Slot[1] = uint16(bpf.PeerSparse)
	sparse.Hosts = append(sparse.Hosts, bpf.Host{Addr: mapped.As16(), Class: 1})
	prefix := img("open", "peer:80")
	prefix.Peers4[10].Slot[1] = uint16(bpf.PeerSparse)
	prefix.Nets = []bpf.Net{{Addr: bpf.Mapped(netip.MustParseAddr("10.1.4.0")), Bits: 96 + 24, Class: 1}}
	for name, image := range map[string]*bpf.Image{
		"in pages": img("open", "peer:80"), "among the hosts": sparse, "among the prefixes": prefix,
	} {
		// An IPv6 address that is in no page, so that others have to be looked for where IPv4 lies too.
		image.Hosts = append(image.Hosts, bpf.Host{Addr: bpf.Mapped(netip.MustParseAddr("fd00:9::9")), Class: 2})
		for i, run := range judges(t) {
			got, err := run(image, tcp80(mapped, podIP6))
			if err != nil || got.Reason != bpf.ReasonNoRule {
				t.Errorf("%s, %s: %s (%v), want %s", name, []string{"twin", "kernel"}[i], got.Reason, err, bpf.ReasonNoRule)
			}
		}
	}
}

// TestSparseNetworkIsNoIPv6: what a rule says of an IPv6 prefix holds for no IPv4 address, also where the prefix contains those in their
// IPv4-mapped form, as ::/0 does, and the tables know both.
func TestSparseNetworkIsNoIPv6(t *testing.T) {
	kinds := judges(t)
	addr := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, prefix := range []string{"::/0", "::/1", "::/80", "::fffe:0:0/95"} {
		p := netip.MustParsePrefix(prefix)
		sparse := img("open", "peer:80") // class 1 may, the others may not
		sparse.Peers4[10].Slot[1] = uint16(bpf.PeerSparse | 2)
		sparse.Peers4[10].Slot[2] = uint16(bpf.PeerSparse)
		sparse.Hosts = nil
		sparse.Nets = []bpf.Net{{Addr: p.Addr().As16(), Bits: uint8(p.Bits()), Class: 1}, {Addr: bpf.Mapped(addr("10.1.4.0")), Bits: 96 + 24, Class: 3}}
		for _, c := range []struct {
			src  string
			want bpf.Outcome
		}{
			{"10.1.0.2", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst, Class: 2}},
			{"10.1.4.2", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst, Class: 3}},
			{"10.2.0.2", bpf.Outcome{Reason: bpf.ReasonNoRule, Set: bpf.SetFirst, Class: 0}},
			{"::ffff:10.1.4.2", bpf.Outcome{Reason: bpf.ReasonPolicy, Set: bpf.SetFirst, Class: 1}}, // an address of the prefix like any other
		} {
			src, dst := addr(c.src), podIP
			if src.Is6() {
				dst = podIP6
			}
			for i, run := range kinds {
				if got, err := run(sparse, tcp80(src, dst)); err != nil || got != c.want {
					t.Errorf("%s, %s: %s says %+v (%v), want %+v", prefix, c.src, []string{"twin", "kernel"}[i], got, err, c.want)
				}
			}
		}
	}
}
