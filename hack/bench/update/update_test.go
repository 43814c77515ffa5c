package update_test

import (
	"io"
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/hack/bench/update"
)

// TestEveryLineIsMeasured: each measurement checks itself that the kernel did what it counts, and only that.
func TestEveryLineIsMeasured(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to load programs")
	}
	asked := map[string]bool{}
	results, err := update.Measure(update.Options{
		Rounds: 2, Log: io.Discard, Match: func(name string) bool { asked[name] = true; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	free := map[string]bool{ // what takes nothing is also a figure
		"kernel memory, one more pod": true, "kernel memory of map peer_nets": true,
		"kernel memory of map peer_hosts": true, "kernel memory of map pods_far": true,
	}
	for _, r := range results {
		if r.Time <= 0 && r.Bytes <= 0 && !free[r.Name] {
			t.Errorf("%s: not measured: %+v", r.Name, r)
		}
		delete(asked, r.Name)
	}
	for name := range asked {
		t.Errorf("%s was asked for, and is no line", name)
	}
}
