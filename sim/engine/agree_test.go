package engine_test

import (
	"context"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/sim/agree"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// engines returns the engines that must agree with the model. Only where the test does not run as root is the kernel left
// out, and then it says so.
func engines(t *testing.T) []engine.Engine {
	list := []engine.Engine{engine.NewTables(), engine.Cramped(engine.NewTables())}
	if os.Geteuid() == 0 {
		list = append(list, engine.NewKernel(), engine.Cramped(engine.NewKernel()))
	} else {
		t.Log("not root: the kernel is not asked")
	}
	for _, e := range list {
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return list
}

// TestEnginesAgree draws clusters and compares every cell of every matrix: all pods, nodes and outside addresses, to and
// from every pod, on all ports that a drawn policy can distinguish.
func TestEnginesAgree(t *testing.T) {
	judges := engines(t)
	rapid.Check(t, func(t *rapid.T) {
		c := random.Cluster(t)
		if _, err := agree.Compare(context.Background(), c, judges, random.Queries(c, random.Probes())); err != nil {
			t.Fatal(err)
		}
	})
}
