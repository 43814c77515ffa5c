package prober

import (
	"net/netip"
	"testing"

	"github.com/palisade-netpol/palisade/model/flow"
)

func TestSourcePortsComeAgainOnlyAfterAllOthers(t *testing.T) {
	s := newSky()
	seen := map[uint16]bool{}
	for range lastPort - firstPort + 1 {
		port := s.nextPort()
		if port < firstPort || seen[port] {
			t.Fatalf("port %d out of range or twice", port)
		}
		seen[port] = true
	}
	if again := s.nextPort(); again != firstPort {
		t.Errorf("after all ports comes %d, want %d", again, firstPort)
	}
}

func TestOnlyAPacketAtATargetIsAnArrival(t *testing.T) {
	target, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	probe := Probe{Protocol: flow.TCP, Targets: []netip.AddrPort{netip.AddrPortFrom(target, 80)}}
	for name, c := range map[string]struct {
		proto      flow.Protocol
		from, port uint16
		at         netip.Addr
		want       bool
	}{
		"the target":       {flow.TCP, 20000, 80, target, true},
		"another protocol": {flow.UDP, 20000, 80, target, false},
		"another source":   {flow.TCP, 20001, 80, target, false},
		"another port":     {flow.TCP, 20000, 81, target, false},
		"another address":  {flow.TCP, 20000, 80, other, false},
	} {
		s := newSky()
		f := s.start(probe, 20000, nil)
		s.arrive(c.proto, netip.AddrPortFrom(other, c.from), []netip.Addr{c.at}, c.port)
		if got := f.arrived.Load(); got != c.want {
			t.Errorf("%s: arrived = %v, want %v", name, got, c.want)
		}
		s.end(f)
		s.arrive(flow.TCP, netip.AddrPortFrom(other, 20000), []netip.Addr{target}, 80) // nobody waits for it any more
		if f.arrived.Load() != c.want {
			t.Errorf("%s: arrived after its end", name)
		}
	}
}
