package enforce_test

import (
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestRangesThatOverlapAreOne: whichever way two ranges lie, what is in one of them is allowed, and nothing else.
func TestRangesThatOverlapAreOne(t *testing.T) {
	for ranges, ends := range map[string]struct{ in, out []string }{
		"TCP/100-200 TCP/150-300":           {[]string{"100", "200", "201", "300"}, []string{"99", "301"}},
		"TCP/100-300 TCP/150-200":           {[]string{"100", "200", "201", "300"}, []string{"99", "301"}},
		"TCP/100-200 TCP/201-300":           {[]string{"100", "200", "201", "300"}, []string{"99", "301"}},
		"TCP/100-200 TCP/202-300":           {[]string{"100", "200", "202", "300"}, []string{"99", "201", "301"}},
		"TCP/1-255 TCP/256-511 TCP/512-512": {[]string{"1", "255", "256", "511", "512"}, []string{"513"}},
		"TCP/60000-65535 TCP/65535":         {[]string{"60000", "65535"}, []string{"59999", "1"}},
	} {
		r := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, endpoint("a", "192.0.2.0/24 "+ranges))
		for want, ports := range map[flow.Verdict][]string{flow.Allow: ends.in, flow.Deny: ends.out} {
			for _, port := range ports {
				if got := reason(t, r.Image, 1, "192.0.2.1 TCP/"+port); got.Reason.Verdict() != want {
					t.Errorf("%s: port %s: %s, want %s", ranges, port, got.Reason, want)
				}
			}
		}
	}
}
