package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// Blaster is a session that can call one end again and again while other things happen.
type Blaster interface {
	// Blast opens one connection after the other, every so often, for a duration, and returns what became of them. Times
	// are those of the node's clock.
	Blast(ctx context.Context, p backend.Probe, every, duration time.Duration) (wire.Tally, error)
}

// Blast runs in a process of its own in the pod, so that other requests need not wait.
func (s *session) Blast(ctx context.Context, p backend.Probe, every, duration time.Duration) (wire.Tally, error) {
	l, err := s.prepareBlast(ctx, p)
	if err != nil {
		return wire.Tally{}, err
	}
	args := []string{
		"blast", "--to", p.To.String(), "--protocol", p.Protocol.String(), "--timeout", p.Timeout.String(),
		"--every", every.String(), "--for", duration.String(),
	}
	var out, log bytes.Buffer
	if err := s.backend.run(ctx, l.target, args, nil, &out, &log); err != nil {
		return wire.Tally{}, fmt.Errorf("blast from %s: %w %s", p.From, err, bytes.TrimSpace(log.Bytes()))
	}
	var t wire.Tally
	if err := json.Unmarshal(out.Bytes(), &t); err != nil {
		return wire.Tally{}, fmt.Errorf("blast from %s: %w", p.From, err)
	}
	return t, nil
}

// prepareBlast makes somebody listen and finds the pod to call from.
func (s *session) prepareBlast(ctx context.Context, p backend.Probe) (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flights, err := s.flights(ctx, []backend.Probe{p})
	if err != nil {
		return nil, err
	}
	if err := s.listen(ctx, flights); err != nil {
		return nil, err
	}
	return s.linkTo(ctx, flights[0].owner)
}
