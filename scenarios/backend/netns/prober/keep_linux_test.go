package prober_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// keep opens a connection from a to an address and keeps it.
func (w world) keep(t *testing.T, a netip.Addr, proto flow.Protocol) {
	t.Helper()
	seen, err := w.prober.Keep(t.Context(), "talk", to(a, proto, long))
	check(t, err)
	if seen.Outcome != backend.Connected || seen.Answered != "b" {
		t.Fatalf("opened: %+v", seen)
	}
}

func (w world) exchange(t *testing.T, timeout time.Duration) backend.Passage {
	t.Helper()
	seen, err := w.prober.Exchange(t.Context(), []string{"talk"}, timeout)
	check(t, err)
	return seen[0]
}

// blackhole makes the node lose, or carry again, what is sent to an address.
func (w world) blackhole(t *testing.T, a netip.Addr, lose bool) {
	t.Helper()
	check(t, w.node.Do(func() error {
		route := netlink.Route{Dst: netlink.NewIPNet(a.AsSlice()), Type: 6, Table: 254} // RTN_BLACKHOLE, main
		rule := netlink.NewRule()
		rule.Dst, rule.Priority, rule.Table = route.Dst, 1, 100
		route.Table = 100
		if a.Is6() {
			rule.Family = netlink.FAMILY_V6
		}
		if lose {
			if err := netlink.RouteReplace(&route); err != nil {
				return err
			}
			return netlink.RuleAdd(rule)
		}
		return netlink.RuleDel(rule)
	}))
}

func TestAKeptConnectionGoesOnAndStops(t *testing.T) {
	each(t, func(t *testing.T, proto flow.Protocol, b netip.Addr) {
		w := newWorld(t)
		a := addrs["a"][0]
		if b.Is6() {
			a = addrs["a"][1]
		}
		w.keep(t, b, proto)
		both := backend.Passage{There: true, Back: true}
		for range 2 {
			if seen := w.exchange(t, long); seen != both {
				t.Errorf("at first: %s", seen)
			}
		}
		const short, again = 50 * time.Millisecond, 800 * time.Millisecond // again: TCP has to send anew
		w.blackhole(t, b, true)
		if seen := w.exchange(t, short); seen.There {
			t.Errorf("while nothing gets to b: %s", seen)
		} else if proto != flow.TCP && !seen.Back { // b's side of TCP may be waiting for what was lost before
			t.Errorf("b can still speak: %s", seen)
		}
		w.blackhole(t, a, true)
		if seen := w.exchange(t, short); seen.There || seen.Back {
			t.Errorf("while nothing gets anywhere: %s", seen)
		}
		w.blackhole(t, b, false)
		if seen := w.exchange(t, again); !seen.There || seen.Back {
			t.Errorf("while nothing gets to a: %s", seen)
		}
		w.blackhole(t, a, false)
		if seen := w.exchange(t, long); seen != both {
			t.Errorf("in the end: %s", seen)
		}
	})
}

func TestAKeptConnectionEndsWithItsListener(t *testing.T) {
	w := newWorld(t)
	w.keep(t, addrs["b"][0], flow.TCP)
	w.prober.Remove("b")
	if seen := w.exchange(t, long); seen.There || seen.Back || seen.Detail == "" {
		t.Errorf("got %+v", seen)
	}
}

func TestAKeptConnectionEndsWithItsOpener(t *testing.T) {
	for _, proto := range protocols {
		w := newWorld(t)
		w.keep(t, addrs["b"][0], proto)
		w.prober.Remove("a")
		if _, err := w.prober.Exchange(t.Context(), []string{"talk"}, long); err == nil {
			t.Errorf("%s: no error", proto)
		}
		w.prober.Add("a", w.spaces["a"], addrs["a"])
		w.keep(t, addrs["b"][0], proto)
	}
}

func TestProbesGoOnBesideKeptConnections(t *testing.T) {
	w := newWorld(t)
	w.keep(t, addrs["b"][0], flow.UDP)
	if got := w.outcomes(t, to(addrs["b"][0], flow.UDP, long))[0]; got.Outcome != backend.Connected {
		t.Errorf("got %+v", got)
	}
	if _, err := w.prober.Keep(t.Context(), "talk", to(addrs["b"][0], flow.UDP, long)); err == nil {
		t.Error("two connections of one name")
	}
}
