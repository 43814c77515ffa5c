package run_test

import (
	"context"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/sim"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
	"github.com/palisade-netpol/palisade/sim/engine"
)

func itoa(n int) string { return strconv.Itoa(n) }

func input(t *testing.T, text string) run.Input {
	t.Helper()
	cases, err := spec.Parse("small.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return run.Input{Scenario: cases[0], File: "small.yaml"}
}

// runOne runs one scenario on a backend that tells the truth except where l lies.
func runOne(t *testing.T, text string, l lie, o run.Options) run.Result {
	t.Helper()
	o.Backend = newBackend(l)
	result, err := run.Run(t.Context(), o, []run.Input{input(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	if e := result.Scenarios[0].Error; e != "" {
		t.Fatal(e)
	}
	return result
}

// lie changes what a backend observed. to is the name of who is called; attempt counts the probes of one connection
// after one Apply, from 1.
type lie func(p backend.Probe, to string, attempt int, o backend.Observation) backend.Observation

func truth(_ backend.Probe, _ string, _ int, o backend.Observation) backend.Observation { return o }

func always(from, to string, instead backend.Observation) lie {
	return func(p backend.Probe, called string, _ int, o backend.Observation) backend.Observation {
		if p.From == from && called == to {
			return instead
		}
		return o
	}
}

func onFirst(from, to string, instead backend.Observation) lie {
	return func(p backend.Probe, called string, attempt int, o backend.Observation) backend.Observation {
		if p.From == from && called == to && attempt == 1 && o.Outcome != instead.Outcome {
			return instead
		}
		return o
	}
}

// fakeBackend is the simulated one with the model for an engine, except that it lies and fails as told.
type fakeBackend struct {
	backend.Backend
	lie          lie
	applyErr     func(session int64) error
	drop         bool // loses one observation of each call
	open, opened atomic.Int64
}

func newBackend(l lie) *fakeBackend {
	return &fakeBackend{
		Backend:  sim.New(sim.Options{Engine: engine.NewModel}),
		lie:      l,
		applyErr: func(int64) error { return nil },
	}
}

func (b *fakeBackend) Open(ctx context.Context) (backend.Session, error) {
	session, err := b.Backend.Open(ctx)
	b.open.Add(1)
	return &fakeSession{Session: session, backend: b, number: b.opened.Add(1)}, err
}

type fakeSession struct {
	backend.Session
	backend  *fakeBackend
	number   int64
	names    map[netip.Addr]string
	attempts map[backend.Probe]int
}

func (s *fakeSession) Apply(ctx context.Context, c *model.Cluster) error {
	if err := s.backend.applyErr(s.number); err != nil {
		return err
	}
	s.names, s.attempts = map[netip.Addr]string{}, map[backend.Probe]int{}
	for _, p := range c.Pods {
		for _, ip := range p.Status.PodIPs {
			s.names[netip.MustParseAddr(ip.IP)] = p.Namespace + "/" + p.Name
		}
	}
	for _, svc := range c.Services {
		for _, ip := range svc.Spec.ClusterIPs {
			s.names[netip.MustParseAddr(ip)] = "service/" + svc.Namespace + "/" + svc.Name
		}
	}
	return s.Session.Apply(ctx, c)
}

func (s *fakeSession) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	seen, err := s.Session.Probe(ctx, probes)
	for i, p := range probes[:len(seen)] {
		key := p
		key.Timeout = 0
		s.attempts[key]++
		seen[i] = s.backend.lie(p, s.names[p.To.Addr()], s.attempts[key], seen[i])
	}
	if s.backend.drop && err == nil {
		seen = seen[1:]
	}
	return seen, err
}

func (s *fakeSession) Close() error {
	s.backend.open.Add(-1)
	return s.Session.Close()
}

// wrongOracle is the model, except about one pair of pods while the model denies them.
type wrongOracle struct {
	*model.Model
	says     flow.Verdict
	from, to string
}

func oracleSaying(v flow.Verdict, from, to string) func(*model.Cluster) run.Oracle {
	return func(c *model.Cluster) run.Oracle { return wrongOracle{model.New(c), v, from, to} }
}

func (w wrongOracle) Decide(q model.Query) model.Decision {
	d := w.Model.Decide(q)
	if d.From == w.from && d.To == w.to && d.Verdict == flow.Deny {
		d.Verdict = w.says
	}
	return d
}
