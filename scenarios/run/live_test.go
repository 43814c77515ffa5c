package run_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// liveBackend is a backend of live sessions.
type liveBackend struct{ *fakeBackend }

func (b liveBackend) Open(ctx context.Context) (backend.Session, error) {
	s, err := b.fakeBackend.Open(ctx)
	return &liveSession{fakeSession: s.(*fakeSession)}, err
}

type liveSession struct {
	*fakeSession
	now     *model.Cluster
	changed time.Time
}

func (s *liveSession) Apply(ctx context.Context, c *model.Cluster) error {
	s.now, s.changed = c, time.Now()
	return s.fakeSession.Apply(ctx, c)
}

func (s *liveSession) Actual(context.Context) (*model.Cluster, time.Time, error) {
	return s.now, s.changed, nil
}

// runLive runs the small scenario on a live cluster, in time that a test need not wait for.
func runLive(t *testing.T, l lie, o run.Options) (result run.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Backend = liveBackend{newBackend(l)}
		var err error
		if result, err = run.Run(t.Context(), o, []run.Input{input(t, small)}); err != nil {
			t.Fatal(err)
		}
	})
	if e := result.Scenarios[0].Error; e != "" {
		t.Fatal(e)
	}
	return result
}

// until lies about one connection for its first attempts.
func until(attempts int, from, to string, instead backend.Observation) lie {
	return func(p backend.Probe, called string, attempt int, o backend.Observation) backend.Observation {
		if p.From == from && called == to && attempt <= attempts && o.Outcome != instead.Outcome {
			return instead
		}
		return o
	}
}

func TestALiveClusterMayTakeItsTime(t *testing.T) {
	result := runLive(t, until(5, "default/other", "default/web", webAnswers), run.Options{})
	if !result.Passed() {
		t.Fatalf("findings: %+v", findings(result))
	}
	step := result.Scenarios[0].Steps[1]
	if step.Confirmed != 1 || step.Convergence < 0.5 || step.Convergence > 0.6 {
		t.Errorf("%d connections looked at again, enforced after %v s: 5 pauses of 100 ms are expected",
			step.Confirmed, step.Convergence)
	}
	want := [][]float64{{-1, 0.001, 0.001}, {0.001, -1, 0.5}, {0.001, 0.001, -1}}
	if diff := cmp.Diff(want, step.Matrices[0].Settled); diff != "" {
		t.Errorf("when each cell was settled (-want +got):\n%s", diff)
	}
}

func TestALiveClusterThatNeverEnforcesIsWrong(t *testing.T) {
	result := runLive(t, always("default/other", "default/web", webAnswers), run.Options{Settle: 5 * time.Second})
	want := []finding{observed("default/other", "default/web", flow.Deny, "connected", at("verdict: deny"))}
	if diff := cmp.Diff(want, findings(result)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if settled := result.Scenarios[0].Steps[1].Matrices[0].Settled[1][2]; settled != -1 {
		t.Errorf("a connection that is wrong is said to be settled after %v s", settled)
	}
}

// TestALeakAtTheLastLookIsSeen: one that shows only once everything seemed to be settled.
func TestALeakAtTheLastLookIsSeen(t *testing.T) {
	leaks := func(p backend.Probe, called string, attempt int, o backend.Observation) backend.Observation {
		if p.From == "default/other" && called == "default/web" && attempt == 3 {
			return webAnswers
		}
		return o
	}
	result := runLive(t, leaks, run.Options{})
	step := result.Scenarios[0].Steps[1]
	if step.Confirmed != 1 || step.Matrices[0].Settled[1][2] < 0.3 {
		t.Errorf("%d looked at again, settled after %v s: the third look was wrong",
			step.Confirmed, step.Matrices[0].Settled[1][2])
	}
}

func TestADeclaredLimitIsNoFailure(t *testing.T) {
	p, err := profile.Parse([]byte(`
apiVersion: palisade.dev/v1alpha1
kind: CapabilityProfile
metadata: {name: rejects}
capabilities: {silentDrop: false}
`))
	if err != nil {
		t.Fatal(err)
	}
	options := run.Options{Settle: time.Second, Profile: p}
	refuses := func(p backend.Probe, called string, _ int, o backend.Observation) backend.Observation {
		if o.Outcome == backend.Blocked {
			return reset
		}
		return o
	}
	result := runLive(t, refuses, options)
	limited := result.Scenarios[0].Steps[1].Limited
	if !result.Passed() || result.Totals().Limited != 1 || len(limited) != 1 || limited[0].Limit != "silentDrop" {
		t.Errorf("passed %v, limited %+v", result.Passed(), limited)
	}
	result = runLive(t, always("default/other", "default/web", webAnswers), options)
	if result.Passed() || result.Totals().Limited != 0 {
		t.Error("a leak was excused by a limit that has nothing to do with it")
	}
}

// pickyBackend refuses scenarios by name.
type pickyBackend struct {
	*fakeBackend
	reasons map[string]error
}

func (b pickyBackend) Applies(_ context.Context, s *spec.Scenario, _ []spec.Stage) error {
	return b.reasons[s.Metadata.Name]
}

func TestAFileAppliesIfOneOfItsCasesDoes(t *testing.T) {
	one, two, three := input(t, small), input(t, small), input(t, small)
	one.File, two.File, three.File = "a.yaml", "a.yaml", "b.yaml"
	two.Scenario.Metadata.Name, three.Scenario.Metadata.Name = "second", "third"
	b := pickyBackend{newBackend(truth), map[string]error{
		"small": errors.New("needs IPv6"), "third": errors.New("needs a host outside"),
	}}
	fit, rest, err := run.Applicable(t.Context(), b, []run.Input{one, two, three})
	if err != nil || len(fit) != 1 || fit[0].Scenario.Metadata.Name != "second" {
		t.Errorf("applies: %+v, error %v", fit, err)
	}
	want := []run.Inapplicable{{Name: "third", File: "b.yaml", Reason: "needs a host outside"}}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("does not apply (-want +got):\n%s", diff)
	}
}
