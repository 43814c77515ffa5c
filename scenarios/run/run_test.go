package run_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run"
)

// Three pods, one port: six connections in the first step, seven in the second, where client reaches web through its
// Service; other is shut out then.
const small = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: small}
description: Only client may call web.
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}, spec: {nodeName: node-a}}
- {apiVersion: v1, kind: Pod, metadata: {name: other, labels: {app: other}}, spec: {nodeName: node-a}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: node-b}}
- {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
steps:
- name: open
  expect:
  - {from: default/client, to: default/web, port: TCP/80, verdict: allow}
- name: closed
  apply:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: only-client}
    spec:
      podSelector: {matchLabels: {app: web}}
      ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
  expect:
  - {from: default/client, service: default/web, port: TCP/80, verdict: allow}
  - {from: default/other, to: default/web, port: TCP/80, verdict: deny}
`

// at returns the place of the line that holds text in small, as results name it.
func at(text string) string {
	for i, line := range strings.Split(small, "\n") {
		if strings.Contains(line, text) {
			return "small.yaml:" + itoa(i+1)
		}
	}
	return "not found: " + text
}

func TestRunPassesWhereEverythingAgrees(t *testing.T) {
	result := runOne(t, small, truth, run.Options{})
	want := run.Totals{Steps: 2, Cells: 13}
	if diff := cmp.Diff(want, result.Totals()); diff != "" || !result.Passed() {
		t.Errorf("passed: %v, totals (-want +got):\n%s", result.Passed(), diff)
	}
	matrix := result.Scenarios[0].Steps[1].Matrices[0]
	wantMatrix := run.Matrix{
		Probe: "TCP/80", Family: "ipv4", Order: []string{"default/client", "default/other", "default/web"},
		Expected: []string{"-..", ".-X", "..-"}, Observed: []string{"-..", ".-X", "..-"},
	}
	if diff := cmp.Diff(wantMatrix, matrix); diff != "" {
		t.Errorf("matrix of the second step (-want +got):\n%s", diff)
	}
}

var (
	noAnswer   = backend.Observation{Outcome: backend.Blocked}
	lostAnswer = backend.Observation{Outcome: backend.OneWay}
	webAnswers = backend.Observation{Outcome: backend.Connected, Answered: "default/web"}
	reset      = backend.Observation{Outcome: backend.Refused, Detail: "reset"}
)

// finding is the part of a mismatch that says what is wrong where.
type finding struct {
	Kind            run.Kind
	From, To        string
	Expected, Model flow.Verdict
	Observed, At    string
}

func findings(r run.Result) []finding {
	var found []finding
	for _, s := range r.Scenarios {
		for _, step := range s.Steps {
			for _, m := range step.Mismatches {
				found = append(found, finding{m.Kind, m.From, m.To, m.Expected, m.Model, m.Observed, m.At})
			}
		}
	}
	return found
}

// observed is the finding where only the observation differs.
func observed(from, to string, want flow.Verdict, outcome, at string) finding {
	return finding{run.KindObservation, from, to, want, want, outcome, at}
}

func TestRunNamesTheConnectionThatDiffers(t *testing.T) {
	const fromWeb = `connected, but answered by "default/web"`
	tests := map[string]struct {
		lie    lie
		oracle func(*model.Cluster) run.Oracle
		want   []finding
	}{
		"a blocked connection that nobody wrote down": {
			lie: always("default/web", "default/client", noAnswer),
			want: []finding{
				observed("default/web", "default/client", flow.Allow, "blocked", at("name: open")),
				observed("default/web", "default/client", flow.Allow, "blocked", at("name: closed")),
			},
		},
		"a leak that an expectation forbids": {
			lie:  always("default/other", "default/web", webAnswers),
			want: []finding{observed("default/other", "default/web", flow.Deny, "connected", at("verdict: deny"))},
		},
		"a leak whose answer is lost": {
			lie:  onFirst("default/other", "default/web", lostAnswer),
			want: []finding{observed("default/other", "default/web", flow.Deny, "one-way", at("verdict: deny"))},
		},
		"a denial that answers": {
			lie: always("default/other", "default/web", reset),
			want: []finding{
				observed("default/other", "default/web", flow.Allow, "refused (reset)", at("name: open")),
				observed("default/other", "default/web", flow.Deny, "refused (reset)", at("verdict: deny")),
			},
		},
		"an answer from the wrong pod": {
			lie: always("default/client", "default/other", webAnswers),
			want: []finding{
				observed("default/client", "default/other", flow.Allow, fromWeb, at("name: open")),
				observed("default/client", "default/other", flow.Allow, fromWeb, at("name: closed")),
			},
		},
		"a Service that leads nowhere": {
			lie: always("default/client", "service/default/web", noAnswer),
			want: []finding{
				observed("default/client", "service/default/web", flow.Allow, "blocked", at("service: default/web")),
			},
		},
		"a wrong model that the observation agrees with": {
			lie:    always("default/other", "default/web", webAnswers),
			oracle: oracleSaying(flow.Allow, "default/other", "default/web"),
			want: []finding{{
				run.KindExpectation, "default/other", "default/web", flow.Deny, flow.Allow, "connected", at("verdict: deny"),
			}},
		},
		"a wrong model that the observation refutes": {
			oracle: oracleSaying(flow.Allow, "default/other", "default/web"),
			want: []finding{{
				run.KindModel, "default/other", "default/web", flow.Deny, flow.Allow, "blocked", at("verdict: deny"),
			}},
		},
		"a model that does not commit itself": {
			oracle: oracleSaying(flow.Undefined, "default/other", "default/web"),
			want: []finding{{
				run.KindModel, "default/other", "default/web", flow.Deny, flow.Undefined, "blocked", at("verdict: deny"),
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.lie == nil {
				test.lie = truth
			}
			result := runOne(t, small, test.lie, run.Options{Oracle: test.oracle})
			if diff := cmp.Diff(test.want, findings(result)); diff != "" {
				t.Errorf("mismatches (-want +got):\n%s", diff)
			}
			if result.Passed() {
				t.Error("the run passed all the same")
			}
		})
	}
}

func TestMismatchCarriesTheModelsReasons(t *testing.T) {
	result := runOne(t, small,
		always("default/other", "default/web", webAnswers),
		run.Options{})
	explanation := strings.Join(result.Scenarios[0].Steps[1].Mismatches[0].Explanation, "\n")
	if !strings.Contains(explanation, "default/only-client") {
		t.Errorf("the explanation does not name the policy that decides:\n%s", explanation)
	}
}

func TestSecondProbeExcusesWhatHappenedOnce(t *testing.T) {
	tests := map[string]lie{
		"a lost packet of an allowed connection": onFirst("default/client", "default/other",
			noAnswer),
		"a lost answer of an allowed connection": onFirst("default/client", "default/other",
			lostAnswer),
		"an answer over a denied connection": onFirst("default/other", "service/default/web",
			webAnswers),
	}
	for name, lie := range tests {
		t.Run(name, func(t *testing.T) {
			result := runOne(t, strings.ReplaceAll(small, "from: default/other, to:", "from: default/other, service:"),
				lie, run.Options{})
			if !result.Passed() || result.Totals().Confirmed == 0 {
				t.Errorf("passed: %v, totals: %+v; findings: %+v", result.Passed(), result.Totals(), findings(result))
			}
		})
	}
}

func TestSecondProbeIsPatientAndOnlyForDoubts(t *testing.T) {
	var timeouts []time.Duration
	doubt := onFirst("default/client", "default/other", noAnswer)
	runOne(t, small, func(p backend.Probe, to string, attempt int, o backend.Observation) backend.Observation {
		if p.From == "default/client" && to == "default/other" {
			timeouts = append(timeouts, p.Timeout)
		} else if attempt > 1 {
			t.Errorf("%s to %s was probed again without need", p.From, to)
		}
		return doubt(p, to, attempt, o)
	}, run.Options{})
	want := []time.Duration{250 * time.Millisecond, 3 * time.Second, 250 * time.Millisecond, 3 * time.Second}
	if diff := cmp.Diff(want, timeouts); diff != "" {
		t.Errorf("time-outs of the doubtful connection in both steps (-want +got):\n%s", diff)
	}
}

// On the host's network a pod need not be isolated: whether it may call is open, that it may not be called is not.
const onHost = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: on-host}
description: No pod may call anybody, which does not concern a pod on the host's network.
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {hostNetwork: true, nodeName: node-a}}
- {apiVersion: v1, kind: Pod, metadata: {name: pod}, spec: {nodeName: node-b}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: no-egress}
  spec: {podSelector: {}, policyTypes: [Egress]}
steps: [{name: isolated}]
`

func TestUndefinedConnectionsAreSeenButNotCompared(t *testing.T) {
	for _, outcome := range []backend.Outcome{backend.Connected, backend.Blocked} {
		result := runOne(t, onHost, always("default/host", "default/pod",
			backend.Observation{Outcome: outcome, Answered: "default/pod"}), run.Options{})
		if diff := cmp.Diff(run.Totals{Steps: 1, Cells: 1, Undefined: 1}, result.Totals()); diff != "" {
			t.Errorf("%s: totals (-want +got):\n%s", outcome, diff)
		}
		wantRow := map[backend.Outcome]string{backend.Connected: "-.", backend.Blocked: "-X"}[outcome]
		matrix := result.Scenarios[0].Steps[0].Matrices[0]
		if matrix.Expected[0] != "-?" || matrix.Observed[0] != wantRow {
			t.Errorf("%s: expected row %q, observed row %q", outcome, matrix.Expected[0], matrix.Observed[0])
		}
	}
}

func TestBothFamiliesAreObserved(t *testing.T) {
	result := runOne(t, strings.Replace(small, "objects:", "families: [ipv6, ipv4]\nobjects:", 1), truth, run.Options{})
	var families []string
	for _, m := range result.Scenarios[0].Steps[0].Matrices {
		families = append(families, m.Probe+" "+m.Family)
	}
	if diff := cmp.Diff([]string{"TCP/80 ipv4", "TCP/80 ipv6"}, families); diff != "" || !result.Passed() {
		t.Errorf("passed: %v, matrices (-want +got):\n%s", result.Passed(), diff)
	}
}

func TestRunThatChecksNothingDoesNotPass(t *testing.T) {
	alone := small[:strings.Index(small, "- {apiVersion: v1, kind: Pod, metadata: {name: other")] +
		"steps: [{name: nothing to see}]\n"
	result := runOne(t, alone, truth, run.Options{})
	if result.Totals().Cells != 0 || result.Passed() {
		t.Errorf("passed: %v after %d cells", result.Passed(), result.Totals().Cells)
	}
	if (run.Result{}).Passed() {
		t.Error("a run of no scenarios passed")
	}
}

func TestErrorsEndOneScenarioOnly(t *testing.T) {
	broken := errors.New("the cable is cut")
	b := newBackend(truth)
	b.applyErr = func(session int64) error {
		if session == 1 {
			return broken
		}
		return nil
	}
	result, err := run.Run(t.Context(), run.Options{Backend: b, Parallel: 1},
		[]run.Input{input(t, small), input(t, small)})
	if err != nil {
		t.Fatal(err)
	}
	first, second := result.Scenarios[0], result.Scenarios[1]
	if want := at("name: open") + ": step 1 (open): apply: the cable is cut"; first.Error != want {
		t.Errorf("error %q, want %q", first.Error, want)
	}
	if first.Passed() || !second.Passed() || result.Passed() {
		t.Errorf("passed: %v, %v, altogether %v", first.Passed(), second.Passed(), result.Passed())
	}
	if b.open.Load() != 0 {
		t.Errorf("%d sessions are still open", b.open.Load())
	}
}

func TestMissingObservationsAreAnError(t *testing.T) {
	b := newBackend(truth)
	b.drop = true
	result, _ := run.Run(t.Context(), run.Options{Backend: b}, []run.Input{input(t, small)})
	if want := "5 observations for 6 probes"; !strings.Contains(result.Scenarios[0].Error, want) {
		t.Errorf("error %q does not say %q", result.Scenarios[0].Error, want)
	}
}

func TestCancelledRunClosesItsSessions(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBackend(func(p backend.Probe, to string, attempt int, o backend.Observation) backend.Observation {
		cancel()
		return o
	})
	result, err := run.Run(ctx, run.Options{Backend: b, Parallel: 1},
		[]run.Input{input(t, small), input(t, small), input(t, small)})
	if !errors.Is(err, context.Canceled) || result.Passed() {
		t.Errorf("error %v, passed: %v", err, result.Passed())
	}
	if b.open.Load() != 0 || b.opened.Load() != 1 {
		t.Errorf("of %d sessions opened %d are still open", b.opened.Load(), b.open.Load())
	}
}

func TestProgressTellsEveryStepAndEnd(t *testing.T) {
	var told []string
	var calls atomic.Int32
	_, err := run.Run(t.Context(), run.Options{
		Backend: newBackend(truth), Parallel: 2,
		Progress: func(p run.Progress) {
			if calls.Add(1) != 1 {
				t.Error("two calls at the same time")
			}
			defer calls.Add(-1)
			switch {
			case p.Index == 1 && p.Done != nil:
				told = append(told, "done")
			case p.Index == 1:
				told = append(told, p.StepName+" "+itoa(p.Step)+"/"+itoa(p.Steps))
			}
		},
	}, []run.Input{input(t, small), input(t, small)})
	if diff := cmp.Diff([]string{"open 1/2", "closed 2/2", "done"}, told); diff != "" || err != nil {
		t.Errorf("error %v, progress of the second scenario (-want +got):\n%s", err, diff)
	}
}
