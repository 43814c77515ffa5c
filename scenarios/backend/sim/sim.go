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
	return &session{engine: s.Engine(), network: newNetwork(&model.Cluster{})}, nil
}

// session is one simulated cluster.
type session struct {
	engine  engine.Engine
	network *network
}

func (s *session) Apply(ctx context.Context, c *model.Cluster) error {
	if err := s.engine.Load(ctx, c); err != nil {
		return fmt.Errorf("load engine %s: %w", s.engine.Name(), err)
	}
	s.network = newNetwork(c)
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
	from, err := s.network.source(p.From)
	if err != nil {
		return backend.Observation{}, err
	}
	to, ok := s.network.route(from, p.Protocol, p.To)
	if !ok {
		return backend.Observation{Outcome: backend.Refused, Detail: "the Service has no ready backend"}, nil
	}
	hops := []hop{{to.endpoint, to.port}}
	if to.translated { // what leaves the client still carries the ClusterIP
		hops = append([]hop{{model.Endpoint{Addr: p.To.Addr()}, p.To.Port()}}, hops...)
	}
	for _, h := range hops {
		if passes, err := s.passes(from, h, p); err != nil || !passes {
			return backend.Observation{Outcome: backend.Blocked}, err
		}
	}
	return backend.Observation{Outcome: backend.Connected, Answered: to.name}, nil
}

// hop is the destination of a packet on one part of its way.
type hop struct {
	to   model.Endpoint
	port uint16
}

// passes asks the engine. What an engine leaves open crosses no interface that anything could be enforced at.
func (s *session) passes(from model.Endpoint, h hop, p backend.Probe) (bool, error) {
	verdict, err := s.engine.Verdict(model.Query{
		From: from, To: h.to, Family: flow.FamilyOf(p.To.Addr()),
		PortProto: flow.PortProto{Protocol: p.Protocol, Port: h.port},
	})
	return err == nil && verdict != flow.Deny, err
}
