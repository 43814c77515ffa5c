package veth

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// TestNothingLeaksWhilePoliciesAreSwapped is a short one; `make blast` is the long one.
func TestNothingLeaksWhilePoliciesAreSwapped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	r, err := Blast(t.Context(), BlastOptions{Packets: 300_000, Every: 10 * time.Millisecond})
	if err != nil || r.Swaps < 5 || r.Denied < 300_000 {
		t.Fatalf("%+v, %v; want at least 5 swaps", r, err)
	}

	// Where one of the policies opens a port, or closes the one that is to be open, that is found.
	open := denying()
	open[1] = func(pod int) []v1alpha1.EndpointInfo {
		return append(denying()[1](pod), endpoints(podAddrs[1-pod:2-pod], firstPort+egressDenied, 1)...)
	}
	closed := denying()
	closed[1] = func(pod int) []v1alpha1.EndpointInfo { return endpoints(others(peerCount), firstPort, portCount) }
	for name, policies := range map[string][]variant{"open": open, "closed": closed} {
		r, err := blast(t.Context(), BlastOptions{Packets: 100_000, Every: time.Millisecond}, policies)
		if err == nil || !strings.Contains(err.Error(), "arrived") || (r.Arrived.Packets > r.Allowed) != (name == "open") {
			t.Errorf("%s now and then: %+v, %v", name, r, err)
		}
	}
}

// TestOneInThePlaceOfAnotherIsNoticed: as many arrive as are allowed, but not those.
func TestOneInThePlaceOfAnotherIsNoticed(t *testing.T) {
	const size = 48
	for _, c := range []struct {
		arrived Datagrams
		fine    bool
	}{
		{Datagrams{10, 10 * size}, true},
		{Datagrams{10, 10*size - longer}, false},
		{Datagrams{9, 9 * size}, false},
		{Datagrams{11, 10*size + size - longer}, false},
	} {
		r := BlastResult{Denied: 150, Allowed: 10, Arrived: c.arrived}
		if err := r.arrived(size); (err == nil) != c.fine {
			t.Errorf("%+v: %v", c.arrived, err)
		}
	}
}
