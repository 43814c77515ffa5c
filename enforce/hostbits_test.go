package enforce_test

import (
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestHostBitsDoNotMoveAPrefix: 10.2.3.4/16 contains 10.2.1.0/24, though its own address comes after it.
func TestHostBitsDoNotMoveAPrefix(t *testing.T) {
	r := build(t, bpf.Capacity{}, []enforce.Pod{pod()},
		endpoint("a", "10.2.3.4/16 TCP/80", "10.2.1.0/24 TCP/81", "fd00:2:3::4/32 TCP/80", "fd00:2:1::/48 TCP/81"))
	for probe, want := range map[string]flow.Verdict{
		"10.2.1.9 TCP/80": flow.Allow, "10.2.1.9 TCP/81": flow.Allow, "10.2.9.9 TCP/80": flow.Allow,
		"10.2.9.9 TCP/81": flow.Deny, "fd00:2:1::9 TCP/80": flow.Allow, "fd00:2:1::9 TCP/81": flow.Allow,
		"fd00:2:9::9 TCP/80": flow.Allow, "fd00:2:9::9 TCP/81": flow.Deny,
	} {
		if got := reason(t, r.Image, 1, probe); got.Reason.Verdict() != want {
			t.Errorf("%s: %s, want %s", probe, got.Reason, want)
		}
	}
}
