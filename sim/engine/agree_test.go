package engine_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// engines returns the engines that must agree with the model. Only where the test does not run as root is the kernel left
// out, and then it says so.
func engines(t *testing.T) []engine.Engine {
	list := []engine.Engine{engine.NewTables()}
	if os.Geteuid() == 0 {
		list = append(list, engine.NewKernel())
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
		oracle := model.New(c)
		for _, e := range judges {
			if err := e.Load(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range queries(c) {
			want := oracle.Decide(q)
			if want.Verdict == flow.Undefined {
				continue
			}
			for _, e := range judges {
				if got, err := e.Verdict(q); err != nil || got != want.Verdict {
					t.Fatalf("%s: engine %s says %s (%v), the model %s: %+v", describe(q), e.Name(), got, err, want.Verdict, want)
				}
			}
		}
	})
}

func queries(c *model.Cluster) []model.Query {
	var all []model.Endpoint
	for _, p := range c.Pods {
		all = append(all, model.Endpoint{Pod: p})
	}
	pods := len(all)
	for _, n := range c.Nodes {
		all = append(all, model.Endpoint{Node: n})
	}
	for _, a := range random.Outside() {
		all = append(all, model.Endpoint{Addr: a})
	}
	var qs []model.Query
	for i, from := range all {
		for j, to := range all {
			if i == j || i >= pods && j >= pods {
				continue
			}
			for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
				for _, probe := range random.Probes() {
					qs = append(qs, model.Query{From: from, To: to, PortProto: probe, Family: family})
				}
			}
		}
	}
	return qs
}

func describe(q model.Query) string {
	end := func(e model.Endpoint) string {
		switch {
		case e.Pod != nil:
			return e.Pod.Namespace + "/" + e.Pod.Name
		case e.Node != nil:
			return "node/" + e.Node.Name
		}
		return e.Addr.String()
	}
	return fmt.Sprintf("%s to %s %s %s", end(q.From), end(q.To), q.PortProto, q.Family)
}
