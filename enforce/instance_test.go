package enforce_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// TestInstanceTellsPodsApart: flows are those of an instance, so no two pods that use an interface one after the other may
// have the same one, not even a pod that is made anew under its name.
func TestInstanceTellsPodsApart(t *testing.T) {
	instance := func(change func(*enforce.Pod)) uint32 {
		p := pod()
		change(&p)
		return build(t, bpf.Capacity{}, []enforce.Pod{p}).Image.Pods[0].Instance
	}
	seen := map[uint32]string{}
	for name, change := range map[string]func(*enforce.Pod){
		"itself":            func(*enforce.Pod) {},
		"another UID":       func(p *enforce.Pod) { p.UID = "2" },
		"another name":      func(p *enforce.Pod) { p.Name = "q" },
		"another namespace": func(p *enforce.Pod) { p.Namespace = "other" },
		"moved letters":     func(p *enforce.Pod) { p.Namespace, p.Name = "defaul", "tp" },
		"one that is given": func(p *enforce.Pod) { p.Instance = 7 },
	} {
		n := instance(change)
		if n == 0 || seen[n] != "" {
			t.Errorf("%s has instance %d like %q", name, n, seen[n])
		}
		seen[n] = name
		if again := instance(change); again != n {
			t.Errorf("%s has instance %d, then %d", name, n, again)
		}
	}
	if seen[7] != "one that is given" {
		t.Errorf("the instance that was given is not used: %v", seen)
	}
}

// TestPodSendsFromItsFirstAddresses: a plugin may give a pod more, of which policies know nothing.
func TestPodSendsFromItsFirstAddresses(t *testing.T) {
	p := pod()
	want4, want6 := p.Addrs[0], p.Addrs[1]
	p.Addrs = append(p.Addrs, netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00:9::1"))
	if got := build(t, bpf.Capacity{}, []enforce.Pod{p}).Image.Pods[0]; got.IP4 != want4 || got.IP6 != want6 {
		t.Errorf("sends from %s and %s, want %s and %s", got.IP4, got.IP6, want4, want6)
	}
}
