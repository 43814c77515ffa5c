package cluster

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"
)

func addrsOf(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestBlocksHoldTheSameAddressesElsewhere(t *testing.T) {
	known := addresses{}
	known.pair(addrsOf("10.240.2.10", "fd00::1"), addrsOf("10.244.1.5", "fd11::5"))
	known.pair(addrsOf("10.240.2.20"), addrsOf("10.244.1.6"))
	known.pair(addrsOf("10.240.2.70"), addrsOf("10.244.1.7"))
	known.pair(addrsOf("10.240.1.1"), addrsOf("10.244.2.5"))
	block := func(cidr string, except ...string) *networkingv1.IPBlock {
		return &networkingv1.IPBlock{CIDR: cidr, Except: except}
	}
	for name, c := range map[string]struct {
		block *networkingv1.IPBlock
		want  []*networkingv1.IPBlock
	}{
		"one address":               {block("10.240.2.10/32"), []*networkingv1.IPBlock{block("10.244.1.5/32")}},
		"host bits":                 {block("10.240.2.21/28"), []*networkingv1.IPBlock{block("10.244.1.6/32")}},
		"two that lie side by side": {block("10.240.2.16/25"), []*networkingv1.IPBlock{block("10.244.1.4/30")}},
		"without one of them":       {block("10.240.2.0/24", "10.240.2.16/28"), []*networkingv1.IPBlock{block("10.244.1.4/30", "10.244.1.6/32")}},
		"without any of them":       {block("10.240.2.16/28", "10.240.2.20/31"), []*networkingv1.IPBlock{block("10.240.2.16/28")}},
		"everybody":                 {block("0.0.0.0/0", "10.240.2.0/24"), []*networkingv1.IPBlock{block("0.0.0.0/0", "10.244.1.4/30")}},
		"nobody":                    {block("172.16.0.0/12"), []*networkingv1.IPBlock{block("172.16.0.0/12")}},
		"nobody here, but there":    {block("10.244.0.0/16"), []*networkingv1.IPBlock{block("192.0.2.0/24")}},
		"IPv6":                      {block("fd00::/64"), []*networkingv1.IPBlock{block("fd11::5/128")}},
		"IPv6 nobody":               {block("fd11::/64"), []*networkingv1.IPBlock{block("2001:db8::/32")}},
	} {
		if diff := cmp.Diff(c.want, known.blocks(c.block)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestCoverHoldsAllOfOneAndNoneOfTheOther, for any two sets of addresses.
func TestCoverHoldsAllOfOneAndNoneOfTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Map(rapid.SliceOfN(rapid.ByteRange(0, 3), 4, 4), func(b []byte) netip.Addr {
			return netip.AddrFrom4([4]byte(b))
		})
		all := rapid.SliceOfDistinct(addr, func(a netip.Addr) netip.Addr { return a }).Draw(t, "addresses")
		n := rapid.IntRange(0, len(all)).Draw(t, "of which in")
		in, out := all[:n], all[n:]
		blocks := cover(in, out)
		for _, a := range in {
			if !slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Contains(a) }) {
				t.Fatalf("%s is not in %v", a, blocks)
			}
		}
		for _, p := range blocks {
			if slices.ContainsFunc(out, p.Contains) || p != p.Masked() {
				t.Fatalf("%s holds one of %v, or has host bits", p, out)
			}
		}
	})
}
