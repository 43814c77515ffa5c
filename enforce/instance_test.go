package enforce_test

import (
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
