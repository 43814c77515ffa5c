package run_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run"
)

// talking is a scenario in which a connection is opened, then denied, then allowed again. web may send by itself,
// unless rest isolates it.
const talking = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: talking}
description: A connection that stops and goes on.
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: client}}
steps:
- name: open
  connections: [{name: talk, keep: true, from: default/client, to: default/web, port: TCP/80}]
- name: deny
  apply:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web}
    spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [%s]}
  connections: [{name: talk, verdict: %s}]
- name: allow
  delete: [{kind: NetworkPolicy, name: web}]
  connections: [{name: talk, verdict: goes-on}]
`

// passages lies about kept connections: what it returns is seen at an attempt of a step, both counted from 1.
type passages func(step, attempt int, truth backend.Passage) backend.Passage

// talkative is a session that lies about kept connections only.
type talkative struct {
	backend.Session
	lie           passages
	step, attempt int
}

func (s *talkative) Exchange(
	ctx context.Context, names []string, timeout time.Duration,
) ([]backend.Passage, error) {
	seen, err := s.Session.Exchange(ctx, names, timeout)
	s.attempt++
	for i := range seen {
		seen[i] = s.lie(s.step, s.attempt, seen[i])
	}
	return seen, err
}

func (s *talkative) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	s.step, s.attempt = s.step+1, 0 // of the next step: the matrix is probed once, after the exchange
	return s.Session.Probe(ctx, probes)
}

type talkativeBackend struct {
	backend.Backend
	lie passages
}

func (b talkativeBackend) Open(ctx context.Context) (backend.Session, error) {
	s, err := b.Backend.Open(ctx)
	return &talkative{Session: s, lie: b.lie, step: 1}, err
}

func during(step, attempt int, instead backend.Passage) passages {
	return func(s, a int, truth backend.Passage) backend.Passage {
		if s == step && (a == attempt || attempt == 0) {
			return instead
		}
		return truth
	}
}

func TestKeptConnections(t *testing.T) {
	there, back := backend.Passage{There: true}, backend.Passage{Back: true}
	both := backend.Passage{There: true, Back: true}
	const every = 0
	for name, c := range map[string]struct {
		types, verdict string
		lie            passages
		want           []string // mismatches
		confirmed      int
	}{
		"all as it should be": {types: "Ingress", verdict: "stops", lie: during(9, 9, both)},
		"goes on although it is denied": {
			"Ingress, Egress", "stops", during(2, every, both), []string{
				"observation-differs: expected deny, observed packets pass both ways",
			}, 0,
		},
		"a moment of it is enough": {
			"Ingress, Egress", "stops", during(2, 1, there), []string{
				"observation-differs: expected deny, observed packets pass there, but not back",
			}, 0,
		},
		"answers of a denied connection still pass": {
			"Ingress, Egress", "stops", during(2, every, back), []string{
				"observation-differs: expected deny, observed packets pass back, but not there",
			}, 0,
		},
		"who was called speaks by himself, and may": {types: "Ingress", verdict: "stops", lie: during(2, every, back)},
		"stays away although it is allowed": {
			"Ingress", "stops", during(3, every, backend.Passage{Detail: "reset"}), []string{
				"observation-differs: expected allow, observed nothing passes (reset)",
			}, 1,
		},
		"is late": {"Ingress", "stops", during(3, 1, backend.Passage{}), nil, 1},
		"answers of an allowed one are lost": {
			"Ingress", "stops", during(3, every, there), []string{
				"observation-differs: expected allow, observed packets pass there, but not back",
			}, 1,
		},
		"the scenario is wrong": {
			"Ingress, Egress", "goes-on", during(9, 9, both), []string{
				"expectation-differs: the scenario expects allow, but the model says deny and observed was nothing passes",
			}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := talkativeBackend{newBackend(truth), c.lie}
			in := input(t, fmt.Sprintf(talking, c.types, c.verdict))
			result, err := run.Run(t.Context(), run.Options{Backend: b}, []run.Input{in})
			if err != nil || result.Scenarios[0].Error != "" {
				t.Fatal(err, result.Scenarios[0].Error)
			}
			var got []string
			for _, step := range result.Scenarios[0].Steps {
				for _, m := range step.Mismatches {
					if m.To != "default/web (kept as talk/ipv4)" {
						t.Errorf("a mismatch of %s", m.To)
					}
					_, text, _ := strings.Cut(m.String(), " ipv4: ")
					got = append(got, string(m.Kind)+": "+text)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if n := result.Totals().Confirmed; n != c.confirmed {
				t.Errorf("%d confirmed, want %d", n, c.confirmed)
			}
		})
	}
}
