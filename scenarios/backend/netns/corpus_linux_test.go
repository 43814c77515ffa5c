package netns_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// part is the share of the scenarios' files that TestCorpusOnThreeNodesWhileLeadersAreKilled replays: one of so many.
const part = 4

// partOfCorpus is one case of a part of the files, spread over three nodes, and of all that are about Services.
func partOfCorpus(t *testing.T) []run.Input {
	t.Helper()
	all, err := spec.LoadAll(os.DirFS("../.."))
	check(t, err)
	var inputs []run.Input
	for _, s := range all {
		s.Spread(3)
		inputs = append(inputs, run.Input{Scenario: s, File: s.Path()})
	}
	var some []run.Input
	for i, in := range run.Sample(inputs) {
		if i%part == 0 || strings.HasPrefix(in.File, "services/") {
			some = append(some, in)
		}
	}
	return some
}

// TestCorpusOnThreeNodesWhileLeadersAreKilled replays scenarios on clusters of processes. In the middle of what each
// cluster is used for, the controller that leads is killed.
func TestCorpusOnThreeNodesWhileLeadersAreKilled(t *testing.T) {
	o := processOptions(t)
	o.Idle, o.KillLeaderAfter = 2, 12
	inputs := partOfCorpus(t)
	if len(inputs) < 40 {
		t.Fatalf("only %d scenarios were found", len(inputs))
	}
	b := netns.New(o)
	t.Cleanup(func() { check(t, b.(io.Closer).Close()) })
	result, err := run.Run(t.Context(), run.Options{Backend: b}, inputs)
	check(t, err)
	steps := 0
	for _, s := range result.Scenarios {
		steps += len(s.Steps)
		if s.Error != "" {
			t.Errorf("%s: %s", s.Name, s.Error)
		}
		for _, step := range s.Steps {
			for _, m := range step.Mismatches {
				t.Errorf("%s: step %q: %s: %s", m.At, step.Name, s.Name, m)
			}
		}
	}
	if least := o.Idle * o.KillLeaderAfter; steps < least {
		t.Errorf("%d steps were taken, want at least %d, so that a leader was killed", steps, least)
	}
}
