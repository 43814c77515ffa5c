package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// line is a connection that is kept.
type line struct {
	owner   string // who opened it
	called  string // who answered
	opening uint64 // the number it was opened with
}

// Keep makes the source of a probe keep its connection.
func (s *session) Keep(ctx context.Context, name string, p backend.Probe) (backend.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flights, err := s.flights(ctx, []backend.Probe{p})
	if err != nil {
		return backend.Observation{}, err
	}
	if err := s.listen(ctx, flights); err != nil {
		return backend.Observation{}, err
	}
	f := flights[0]
	request := wire.Request{Keep: &wire.Keep{Name: s.lineName(name), Probe: probeOf(f.Probe)}}
	replies, err := s.askAll(ctx, map[string]*wire.Request{f.owner: &request})
	if err != nil {
		return backend.Observation{}, err
	}
	kept := replies[f.owner].Kept
	if kept == nil {
		return backend.Observation{}, fmt.Errorf("the probe of %s says nothing of connection %s", f.owner, name)
	}
	if kept.Outcome == wire.Connected {
		s.lines[name] = &line{owner: f.owner, called: s.owner(kept.Answered), opening: kept.Opening}
	}
	return s.observation(kept.Result, false), nil
}

// hangUp closes all kept connections.
func (s *session) hangUp(ctx context.Context) error {
	requests := map[string]*wire.Request{}
	for name, l := range s.lines {
		r := requestTo(requests, l.owner)
		r.HangUp = append(r.HangUp, s.lineName(name))
	}
	if _, err := s.askAll(ctx, requests); err != nil {
		return fmt.Errorf("close kept connections: %w", err)
	}
	clear(s.lines)
	return nil
}

// lineName is unique also where sessions share a probe, that of a node.
func (s *session) lineName(name string) string { return s.prefix + name }

// talk is a question over a kept connection.
type talk struct {
	*line
	name    string
	asked   wire.Asked
	passage backend.Passage
}

// Exchange asks over kept connections, asks the other ends what they heard, and makes those speak up that heard
// nothing.
func (s *session) Exchange(ctx context.Context, names []string, timeout time.Duration) ([]backend.Passage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	talks := make([]*talk, len(names))
	for i, name := range names {
		if s.lines[name] == nil {
			return nil, fmt.Errorf("there is no connection %s", name)
		}
		talks[i] = &talk{line: s.lines[name], name: s.lineName(name)}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*timeout+slack)
	defer cancel()
	for _, part := range []func(context.Context, []*talk, time.Duration) error{s.ask, s.listenIn, s.speakUp} {
		if err := part(ctx, talks, timeout); err != nil {
			return nil, err
		}
	}
	out := make([]backend.Passage, len(talks))
	for i, t := range talks {
		out[i] = t.passage
	}
	return out, nil
}

// ask asks at the openers' ends.
func (s *session) ask(ctx context.Context, talks []*talk, timeout time.Duration) error {
	requests, by := map[string]*wire.Request{}, map[string][]*talk{}
	for _, t := range talks {
		r := requestTo(requests, t.owner)
		r.Ask, r.Timeout = append(r.Ask, t.name), timeout
		by[t.owner] = append(by[t.owner], t)
	}
	replies, err := s.askAll(ctx, requests)
	if err != nil {
		return err
	}
	for owner, talks := range by {
		if err := hear(talks, replies[owner].Asked); err != nil {
			return fmt.Errorf("%s: %w", owner, err)
		}
	}
	return nil
}

// hear notes what openers know.
func hear(talks []*talk, asked []wire.Asked) error {
	if len(asked) != len(talks) {
		return fmt.Errorf("told of %d kept connections, not of %d", len(asked), len(talks))
	}
	for i, t := range talks {
		t.asked = asked[i]
		t.passage.Back = asked[i].Back
		t.passage.Detail = asked[i].Detail
	}
	return nil
}

// listenIn asks at the other ends what they heard.
func (s *session) listenIn(ctx context.Context, talks []*talk, _ time.Duration) error {
	requests, by := map[string]*wire.Request{}, map[string][]*talk{}
	for _, t := range talks {
		r := requestTo(requests, t.called)
		r.Heard = append(r.Heard, t.asked.Number)
		by[t.called] = append(by[t.called], t)
	}
	replies, err := s.askAll(ctx, requests)
	if err != nil {
		return err
	}
	for owner, talks := range by {
		heard := replies[owner].Heard
		if len(heard) != len(talks) {
			return fmt.Errorf("%s: told of %d numbers, not of %d", owner, len(heard), len(talks))
		}
		for i, t := range talks {
			t.passage.There = heard[i]
		}
	}
	return nil
}

// speakUp makes the other ends say what was not heard there, and looks whether it comes back.
func (s *session) speakUp(ctx context.Context, talks []*talk, timeout time.Duration) error {
	speeches, awaits, by := map[string]*wire.Request{}, map[string]*wire.Request{}, map[string][]*talk{}
	for _, t := range talks {
		if t.passage.There || t.passage.Back || t.passage.Detail != "" {
			continue
		}
		r := requestTo(speeches, t.called)
		r.Speak = append(r.Speak, wire.Speech{Opening: t.opening, Number: t.asked.Number})
		a := requestTo(awaits, t.owner)
		a.Await, a.Timeout = append(a.Await, wire.Await{Name: t.name, Number: t.asked.Number}), timeout
		by[t.owner] = append(by[t.owner], t)
	}
	if _, err := s.askAll(ctx, speeches); err != nil {
		return err
	}
	replies, err := s.askAll(ctx, awaits)
	if err != nil {
		return err
	}
	for owner, talks := range by {
		if err := hear(talks, replies[owner].Awaited); err != nil {
			return fmt.Errorf("%s: %w", owner, err)
		}
	}
	return nil
}
