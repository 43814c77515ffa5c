package sim

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// firstPort is the source port of the first kept connection. The engine takes those next to destination ports for
// connections of its own.
const firstPort = 40000

// connection is a connection that is kept.
type connection struct {
	backend.Probe
	port   uint16         // source port
	target netip.AddrPort // where it leads, after translation
	via    *service       // that translated it
}

// Keep opens a connection as Probe does, and then makes its first packet and the answer to it pass.
func (s *session) Keep(ctx context.Context, name string, p backend.Probe) (backend.Observation, error) {
	seen, err := s.Probe(ctx, []backend.Probe{p})
	if err != nil || seen[0].Outcome != backend.Connected {
		return first(seen), err
	}
	from, err := s.network.source(p.From, p.To.Addr())
	if err != nil {
		return backend.Observation{}, err
	}
	to, _ := s.network.route(from, p.Protocol, p.To) // there is one: the probe has just been answered
	addr := p.To
	if to.via != nil {
		addr = to.via.last
	}
	c := &connection{Probe: p, port: s.port, target: addr, via: to.via}
	s.port++
	for _, answer := range []bool{false, true} {
		kind := map[bool]frame.Kind{false: frame.First, true: frame.Answer}[answer]
		if passed, err := s.send(c, kind, answer); err != nil || !passed {
			return backend.Observation{Outcome: backend.Blocked}, err
		}
	}
	s.kept[name] = c
	seen[0].Answered = to.name
	return seen[0], nil
}

func first(seen []backend.Observation) backend.Observation {
	if len(seen) == 0 {
		return backend.Observation{}
	}
	return seen[0]
}

// Exchange sends a later packet each way.
func (s *session) Exchange(ctx context.Context, names []string, _ time.Duration) ([]backend.Passage, error) {
	seen := make([]backend.Passage, len(names))
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := s.kept[name]
		if c == nil {
			return nil, fmt.Errorf("there is no connection %s", name)
		}
		var err error
		if seen[i].There, err = s.send(c, frame.Later, false); err == nil {
			seen[i].Back, err = s.send(c, frame.Later, true)
		}
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", name, err)
		}
	}
	return seen, nil
}

// send reports whether a packet of the connection passes all of its way.
func (s *session) send(c *connection, kind frame.Kind, answer bool) (bool, error) {
	from, err := s.network.source(c.From, c.To.Addr())
	if err != nil {
		return false, err
	}
	for _, q := range way(from, s.network.at(c.target, c.via), c.Probe) {
		verdict, err := s.engine.Packet(engine.Packet{Query: q, SrcPort: c.port, Kind: kind, Answer: answer})
		if err != nil || verdict == flow.Deny {
			return false, err
		}
	}
	return true, nil
}
