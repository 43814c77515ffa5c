// Package sim is the backend without traffic: it replays scenarios on a simulated cluster, asking an engine what
// becomes of each connection that real sockets would open. It needs no privileges.
//
// It translates ClusterIPs as kube-proxy would, over the EndpointSlices of the cluster, and leaves every verdict to
// the engine.
package sim

import (
	"context"
	"fmt"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// Options say what to simulate with.
type Options struct {
	// Engine makes the engine of one session, usually engine.NewTables.
	Engine func() engine.Engine
}

// New returns the backend.
func New(o Options) backend.Backend { return simulated{o} }

type simulated struct{ Options }

func (simulated) Name() string { return "sim" }

func (simulated) Available() error { return nil }

func (s simulated) Open(context.Context) (backend.Session, error) {
	return &session{
		engine: s.Engine(), network: newNetwork(&model.Cluster{}, nil), kept: map[string]*connection{}, port: firstPort,
	}, nil
}

// session is one simulated cluster.
type session struct {
	engine  engine.Engine
	outside []backend.Host
	network *network
	kept    map[string]*connection
	port    uint16 // of the next kept connection
}

func (s *session) Outside(_ context.Context, hosts []backend.Host) error {
	s.outside = hosts
	return nil
}

func (s *session) Apply(ctx context.Context, c *model.Cluster) error {
	if err := s.engine.Load(ctx, c); err != nil {
		return fmt.Errorf("load engine %s: %w", s.engine.Name(), err)
	}
	s.network = newNetwork(c, s.outside)
	return nil
}

func (s *session) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	seen := make([]backend.Observation, len(probes))
	for i, p := range probes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		observation, err := s.probe(p)
		if err != nil {
			return nil, fmt.Errorf("%s to %s/%s: %w", p.From, p.Protocol, p.To, err)
		}
		seen[i] = observation
	}
	return seen, nil
}

func (s *session) Close() error { return s.engine.Close() }

// probe follows one connection: translate the destination, ask whether its packets pass, see who answers.
func (s *session) probe(p backend.Probe) (backend.Observation, error) {
	from, err := s.network.source(p.From, p.To.Addr())
	if err != nil {
		return backend.Observation{}, err
	}
	to, ok := s.network.route(from, p.Protocol, p.To)
	if !ok {
		return backend.Observation{Outcome: backend.Refused, Detail: "the Service has no ready backend"}, nil
	}
	for _, q := range way(from, to, p) {
		verdict, err := s.engine.Verdict(q)
		if err != nil || !passes(verdict) {
			return backend.Observation{Outcome: backend.Blocked}, err
		}
	}
	return backend.Observation{Outcome: backend.Connected, Answered: to.name}, nil
}

// passes: what an engine leaves open crosses no interface that anything could be enforced at.
func passes(v flow.Verdict) bool { return v != flow.Deny }

// way returns what a packet looks like on each part of its way. What leaves a client still carries the address of the
// Service, and what leaves a node of entry that of the node.
func way(from model.Endpoint, to target, p backend.Probe) []model.Query {
	q := model.Query{
		From: from, To: to.endpoint, Family: flow.FamilyOf(p.To.Addr()),
		PortProto: flow.PortProto{Protocol: p.Protocol, Port: to.port},
	}
	if to.via == nil {
		return []model.Query{q}
	}
	if to.via.masquerade != (model.Endpoint{}) {
		q.From = to.via.masquerade
	}
	before := q
	before.From, before.To, before.Port = from, model.Endpoint{Addr: p.To.Addr()}, p.To.Port()
	return []model.Query{before, q}
}
