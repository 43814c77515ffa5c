package address_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-netpol/palisade/sim/address"
)

func TestNth(t *testing.T) {
	for _, c := range []struct {
		after string
		n     uint64
		bits  int
		want  string
	}{
		{"10.0.0.1", 0, 0, "10.0.0.1"}, {"10.0.0.255", 1, 0, "10.0.1.0"}, {"10.0.0.1", 3, 24, "13.0.0.1"}, {"255.255.255.255", 2, 0, "0.0.0.1"},
		{"fd00::ff", 1, 0, "fd00::100"}, {"fd00::1", 2, 40, "fd00::200:0:1"}, {"fd00::1", 3, 64, "fd00:0:0:3::1"},
		{"fd00::ffff:ffff:ffff:ffff", 1, 0, "fd00::"}, {"::ffff:10.0.0.1", 1, 0, "::ffff:10.0.0.2"},
	} {
		if got := address.Nth(netip.MustParseAddr(c.after), c.n, c.bits); got != netip.MustParseAddr(c.want) {
			t.Errorf("%d times 2^%d after %s is %s, want %s", c.n, c.bits, c.after, got, c.want)
		}
	}
}
