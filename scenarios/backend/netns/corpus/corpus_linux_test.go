package corpus_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// parts is in how many parts the scenarios' files are dealt out, of which a test replays one.
const parts = 5

// options are for two clusters of processes. The test is skipped where Kubernetes is not built.
func options(t *testing.T) netns.Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	o := netns.Options{
		ControlPlane: netns.Processes, Idle: 2, Programs: t.TempDir(), Kubernetes: clustertest.Binaries(t, "").Dir,
	}
	check(t, clustertest.BuildPrograms(t.Context(), o.Programs))
	return o
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// partOfCorpus is one case of each file of a part, and of each below a folder, spread over a number of nodes.
func partOfCorpus(t *testing.T, part, nodes int, folder string) []run.Input {
	t.Helper()
	all, err := spec.LoadAll(os.DirFS("../../.."))
	check(t, err)
	var inputs []run.Input
	for _, s := range all {
		s.Spread(nodes)
		inputs = append(inputs, run.Input{Scenario: s, File: s.Path()})
	}
	var some []run.Input
	for i, in := range run.Sample(inputs) {
		if i%parts == part || strings.HasPrefix(in.File, folder+"/") {
			some = append(some, in)
		}
	}
	if len(some) < 30 {
		t.Fatalf("only %d scenarios were found", len(some))
	}
	return some
}

// replay runs scenarios on clusters of processes, and returns how many steps were taken.
func replay(t *testing.T, o netns.Options, inputs []run.Input) (steps int) {
	t.Helper()
	b := netns.New(o)
	t.Cleanup(func() { check(t, b.(io.Closer).Close()) })
	result, err := run.Run(t.Context(), run.Options{Backend: b}, inputs)
	check(t, err)
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
	return steps
}

// TestCorpusOnThreeNodesWhileLeadersAreKilled: in the middle of what each cluster is used for, the controller that leads is
// killed.
func TestCorpusOnThreeNodesWhileLeadersAreKilled(t *testing.T) {
	o := options(t)
	o.KillLeaderAfter = 12
	steps := replay(t, o, partOfCorpus(t, 0, 3, "services"))
	if least := o.Idle * o.KillLeaderAfter; steps < least {
		t.Errorf("%d steps were taken, want at least %d, so that a leader was killed", steps, least)
	}
}

// TestCorpusAsEKSPublishesIt: agents make the same of what the controller that EKS hosts writes.
func TestCorpusAsEKSPublishesIt(t *testing.T) {
	o := options(t)
	o.Hosted = true
	replay(t, o, partOfCorpus(t, 1, 2, "walkthrough"))
}
