package ns_test

import (
	"errors"
	"net"
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// where names the network namespace of the calling thread.
func where(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T) *ns.NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create a network namespace")
	}
	n, err := ns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestDoRunsInsideAndReturns(t *testing.T) {
	a, b := create(t), create(t)
	home := where(t)
	var inA, inB, backInA string
	err := a.Do(func() error {
		inA = where(t)
		err := b.Do(func() error { inB = where(t); return nil })
		backInA = where(t)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if inA == home || inB == home || inA == inB {
		t.Errorf("not three namespaces: home %s, a %s, b %s", home, inA, inB)
	}
	if backInA != inA {
		t.Errorf("after a nested Do the thread is in %s, want %s", backInA, inA)
	}
	if now := where(t); now != home {
		t.Errorf("after Do the thread is in %s, want %s", now, home)
	}
}

func TestDoReturnsTheErrorOfItsFunction(t *testing.T) {
	want := errors.New("own")
	if err := create(t).Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do = %v, want %v", err, want)
	}
}

func TestANewNamespaceHoldsOnlyLoopback(t *testing.T) {
	var names []string
	err := create(t).Do(func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Flags&net.FlagUp != 0 {
				t.Errorf("link %s is up", l.Name)
			}
			names = append(names, l.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 || names[0] != "lo" {
		t.Errorf("links = %v, want lo first", names)
	}
}
