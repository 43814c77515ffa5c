package enforce_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// TestManyPartsHaveTheSameNumbersInAnyOrder: with many classes, port sets and rows some want the same number, and who
// gets it must not depend on who came first.
func TestManyPartsHaveTheSameNumbersInAnyOrder(t *testing.T) {
	var endpoints []*v1alpha1.PolicyEndpoint
	for i := range 100 {
		endpoints = append(endpoints, endpoint(fmt.Sprintf("np%d", i),
			fmt.Sprintf("10.%d.0.0/16 TCP/%d-%d", i, 1000+i, 2000+i), fmt.Sprintf("fd00:%x::/32 UDP/%d", i, 300*i+1)))
	}
	first := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, endpoints...)
	if len(first.Conditions) > 0 {
		t.Fatalf("not everything fits: %+v", first.Conditions)
	}
	for range 3 {
		slices.Reverse(endpoints)
		got := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, endpoints...).Image
		if diff := cmp.Diff(first.Image, got,
			cmpopts.EquateComparable(netip.Addr{}, bpf.AddrPage{}, bpf.SetRows{}, bpf.Row{}, bpf.PortPage{}, bpf.PortLeaf{})); diff != "" {
			t.Fatalf("another order gives another image (-want +got):\n%.2000s", diff)
		}
	}
}
