package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// flight is a probe with where it starts and where it may arrive.
type flight struct {
	backend.Probe
	owner   string // of the start
	targets []listening
	result  wire.Result
	arrived bool
}

// slack is how much longer than its probes a request may take.
const slack = 2 * time.Minute

// Probe makes every source open its connections at once, by one request each, and then asks where those without an
// answer should have arrived whether they did.
func (s *session) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flights, err := s.flights(ctx, probes)
	if err != nil {
		return nil, err
	}
	if err := s.listen(ctx, flights); err != nil {
		return nil, err
	}
	if err := s.fly(ctx, flights); err != nil {
		return nil, err
	}
	if err := s.search(ctx, flights); err != nil {
		return nil, err
	}
	out := make([]backend.Observation, len(flights))
	for i, f := range flights {
		out[i] = s.observation(f.result, f.arrived)
	}
	return out, nil
}

// flights finds the ends of probes, and starts the probes of nodes that nobody has called or called from before.
func (s *session) flights(ctx context.Context, probes []backend.Probe) ([]*flight, error) {
	if s.view == nil {
		return nil, errors.New("nothing is applied")
	}
	flights := make([]*flight, len(probes))
	for i, p := range probes {
		owner, err := s.place(p.From)
		if err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
		p.To = netip.AddrPortFrom(p.To.Addr().Unmap(), p.To.Port())
		flights[i] = &flight{Probe: p, owner: owner, targets: s.arrivals(p.Protocol, p.To)}
		if _, err := s.linkTo(ctx, owner); err != nil {
			return nil, err
		}
	}
	return flights, nil
}

// listen makes sure that somebody answers where flights may arrive.
func (s *session) listen(ctx context.Context, flights []*flight) error {
	fresh := map[string]*wire.Request{}
	var opened []listening
	for _, f := range flights {
		for _, t := range f.targets {
			if s.open[t] {
				continue
			}
			s.open[t] = true
			opened = append(opened, t)
			r := requestTo(fresh, t.owner)
			r.Listen = append(r.Listen, wire.Listener{Protocol: t.protocol.String(), At: t.at})
		}
	}
	_, err := s.askAll(ctx, fresh)
	if err != nil {
		for _, t := range opened {
			delete(s.open, t)
		}
	}
	return err
}

func requestTo(all map[string]*wire.Request, owner string) *wire.Request {
	if all[owner] == nil {
		all[owner] = &wire.Request{}
	}
	return all[owner]
}

// askAll sends requests side by side and returns the replies by owner.
func (s *session) askAll(ctx context.Context, requests map[string]*wire.Request) (map[string]wire.Reply, error) {
	owners := sortedKeys(requests)
	replies := make([]wire.Reply, len(owners))
	var group errgroup.Group
	for i, owner := range owners {
		group.Go(func() error {
			l, err := s.linkTo(ctx, owner)
			if err != nil {
				return err
			}
			replies[i], err = l.ask(ctx, *requests[owner])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byOwner := map[string]wire.Reply{}
	for i, owner := range owners {
		byOwner[owner] = replies[i]
	}
	return byOwner, nil
}

// fly opens the connections.
func (s *session) fly(ctx context.Context, flights []*flight) error {
	requests, longest := map[string]*wire.Request{}, time.Duration(0)
	for _, f := range flights {
		r := requestTo(requests, f.owner)
		r.Probes = append(r.Probes, probeOf(f.Probe))
		longest = max(longest, f.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*longest+slack)
	defer cancel()
	replies, err := s.askAll(ctx, requests)
	if err != nil {
		return err
	}
	next := map[string]int{}
	for _, f := range flights {
		results := replies[f.owner].Results
		if next[f.owner] >= len(results) {
			return fmt.Errorf("the probe of %s told of %d connections, not of all", f.owner, len(results))
		}
		f.result = results[next[f.owner]]
		next[f.owner]++
	}
	return nil
}

func probeOf(p backend.Probe) wire.Probe {
	return wire.Probe{Protocol: p.Protocol.String(), To: p.To, Timeout: p.Timeout}
}

// search finds out which of the flights without an answer have arrived.
func (s *session) search(ctx context.Context, flights []*flight) error {
	requests, asked := map[string]*wire.Request{}, map[string][]*flight{}
	for _, f := range flights {
		if f.result.Outcome != wire.Timeout {
			continue
		}
		for _, t := range f.targets {
			r := requestTo(requests, t.owner)
			r.Arrived = append(r.Arrived, wire.Arrival{
				Protocol: t.protocol.String(), Addr: s.sourceOf(f), Port: f.result.Port, At: t.at.Port(),
			})
			asked[t.owner] = append(asked[t.owner], f)
		}
	}
	replies, err := s.askAll(ctx, requests)
	if err != nil {
		return err
	}
	for owner, about := range asked {
		arrived := replies[owner].Arrived
		if len(arrived) != len(about) {
			return fmt.Errorf("the probe of %s told of %d arrivals, not of %d", owner, len(arrived), len(about))
		}
		for i, f := range about {
			f.arrived = f.arrived || arrived[i]
		}
	}
	return nil
}

// sourceOf returns the address that a flight comes from, unset where that may be changed on the way: by a node or a
// Service, or since a node has many addresses.
func (s *session) sourceOf(f *flight) netip.Addr {
	direct := len(f.targets) == 1 && f.targets[0].at == f.To
	if !direct || strings.HasPrefix(f.owner, nodePrefix) || strings.HasPrefix(f.targets[0].owner, nodePrefix) {
		return netip.Addr{}
	}
	if o, ok := s.outsiderOf(f.owner); ok {
		return addrLike(o.Addrs, f.To.Addr())
	}
	return addrLike(podAddrs(s.podCalled(f.owner)), f.To.Addr())
}

// observation says what a result means.
func (s *session) observation(r wire.Result, arrived bool) backend.Observation {
	o := backend.Observation{Answered: s.answeredBy(r.Answered), RTT: r.RTT, Port: r.Port, Detail: r.Detail}
	switch {
	case r.Outcome == wire.Connected:
		o.Outcome = backend.Connected
	case r.Outcome == wire.Refused:
		o.Outcome = backend.Refused
	case r.Outcome == wire.Error:
		o.Outcome, o.Detail = backend.Blocked, "error: "+r.Detail
	case arrived:
		o.Outcome, o.Detail = backend.OneWay, "arrived, but no answer came back"
	default:
		o.Outcome, o.Detail = backend.Blocked, "timeout: nothing arrived"
	}
	return o
}
