package run_test

import (
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/scenarios/backend/sim"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// TestCorpus replays every case of every scenario on the tables. A difference between what people wrote, the reference
// model and the tables is a mistake in one of the three, to be settled by the specification.
func TestCorpus(t *testing.T) {
	all, err := spec.LoadAll(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	var inputs []run.Input
	for _, s := range all {
		inputs = append(inputs, run.Input{Scenario: s, File: s.Path()})
	}
	result, err := run.Run(t.Context(), run.Options{Backend: sim.New(sim.Options{Engine: engine.NewTables})}, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range result.Scenarios {
		if s.Error != "" {
			t.Errorf("%s: %s", s.Name, s.Error)
		}
		for _, step := range s.Steps {
			for _, m := range step.Mismatches {
				t.Errorf("%s: step %q: %s: %s", m.At, step.Name, s.Name, m)
			}
		}
	}
}

// TestSampleHasOneCaseOfEachFile: with both families where a file varies them, and the same every time.
func TestSampleHasOneCaseOfEachFile(t *testing.T) {
	var inputs []run.Input
	for _, vary := range []string{
		"", "vary: {families: [ipv4, dual, ipv6], protocols: [TCP, UDP]}", "vary: {protocols: [UDP, TCP]}",
	} {
		cases, err := spec.Parse("small.yaml", []byte(tiny+vary), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range cases {
			inputs = append(inputs, run.Input{Scenario: s, File: "file with " + vary})
		}
	}
	sample := run.Sample(inputs)
	if len(sample) != 3 || len(sample[1].Scenario.AddressFamilies()) != 2 {
		t.Fatalf("%d of %d cases", len(sample), len(inputs))
	}
	for i, again := range run.Sample(inputs) {
		if again != sample[i] {
			t.Errorf("another time it is %s, not %s", again.Scenario.Metadata.Name, sample[i].Scenario.Metadata.Name)
		}
	}
}

const tiny = `apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: small}
description: d
steps: [{name: one}]
`
