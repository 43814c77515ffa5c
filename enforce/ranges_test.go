package enforce_test

import (
	"fmt"
	"strings"
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
		for _, capacity := range []bpf.Capacity{{}, {PortPages: int(bpf.PortsFirst)}} {
			r := build(t, capacity, []enforce.Pod{pod()}, endpoint("a", "192.0.2.0/24 "+ranges))
			for want, ports := range map[flow.Verdict][]string{flow.Allow: ends.in, flow.Deny: ends.out} {
				for _, port := range ports {
					if got := reason(t, r.Image, 1, "192.0.2.1 TCP/"+port); got.Reason.Verdict() != want {
						t.Errorf("%s with %d pages: port %s: %s, want %s", ranges, capacity.PortPages, port, got.Reason, want)
					}
				}
			}
		}
	}
}

// TestListsOfPortsFillTheTable: lists of all sizes lie side by side without a gap, so that what fits by its size fits. One more does not,
// and its pod is closed.
func TestListsOfPortsFillTheTable(t *testing.T) {
	var entries []string
	for i, ranges := range []int{1, 2, 4, 8, 1} { // 32 edges
		e := fmt.Sprintf("192.0.2.%d", i)
		for n := range ranges {
			e += fmt.Sprintf(" TCP/%d-%d", 1000*i+10*n+5, 1000*i+10*n+9)
		}
		entries = append(entries, e)
	}
	capacity := bpf.Capacity{PortPages: int(bpf.PortsFirst), PortEdges: 32}
	r := build(t, capacity, []enforce.Pod{pod()}, endpoint("a", entries...))
	if len(r.Conditions) > 0 || len(r.Image.PortEdges) != 32 {
		t.Errorf("%d edges, conditions %+v: want 32 and none", len(r.Image.PortEdges), r.Conditions)
	}
	if got := reason(t, r.Image, 1, "192.0.2.3 TCP/3079"); got.Reason != bpf.ReasonPolicy {
		t.Errorf("the last range of the longest list: %s", got.Reason)
	}
	r = build(t, capacity, []enforce.Pod{pod()}, endpoint("a", append(entries, "192.0.2.9 UDP/9")...))
	if len(r.Conditions) != 1 || !strings.Contains(r.Conditions[0].Message, "port_edges has 32 entries, 34 are needed") {
		t.Errorf("conditions %+v, want one about port_edges", r.Conditions)
	}
	if got := reason(t, r.Image, 1, "192.0.2.9 UDP/9"); got.Reason != bpf.ReasonClosed {
		t.Errorf("a pod for whose ports there is no room: %s", got.Reason)
	}
}
