package engine_test

import (
	"context"
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/spec"
	"github.com/palisade-netpol/palisade/sim/random"
)

// TestEnginesAgreeOnScenarios compares the whole matrix of every step of every scenario, in one of its cases.
func TestEnginesAgreeOnScenarios(t *testing.T) {
	scenarios, err := spec.LoadAll(os.DirFS("../../scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) == 0 {
		t.Fatal("no scenarios found")
	}
	judges := engines(t)
	for i, s := range scenarios {
		if i+1 < len(scenarios) && scenarios[i+1].Path() == s.Path() {
			continue // of the cases of a file the last suffices here, which has both families if one has
		}
		t.Run(s.Metadata.Name, func(t *testing.T) {
			stages, err := s.Stages()
			if err != nil {
				t.Fatal(err)
			}
			for _, stage := range stages {
				oracle := model.New(stage.Cluster)
				for _, e := range judges {
					if err := e.Load(context.Background(), stage.Cluster); err != nil {
						t.Fatal(err)
					}
					cells := 0
					for _, q := range scenarioQueries(stage) {
						want := oracle.Decide(q).Verdict
						if want == flow.Undefined {
							continue
						}
						cells++
						if got, err := e.Verdict(q); err != nil || got != want {
							t.Errorf("%s: %s: engine %s says %s (%v), the model %s", stage.Name, random.Describe(q), e.Name(), got, err, want)
						}
					}
					if cells == 0 {
						t.Errorf("%s: nothing was compared", stage.Name)
					}
				}
			}
		})
	}
}

func scenarioQueries(s spec.Stage) []model.Query {
	var ends []model.Endpoint
	for _, p := range s.Cluster.Pods {
		ends = append(ends, model.Endpoint{Pod: p})
	}
	for _, n := range s.Cluster.Nodes {
		ends = append(ends, model.Endpoint{Node: n})
	}
	var qs []model.Query
	for _, from := range ends {
		for _, to := range ends {
			for _, port := range s.Ports {
				for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
					qs = append(qs, model.Query{From: from, To: to, PortProto: port, Family: family})
				}
			}
		}
	}
	return qs
}
