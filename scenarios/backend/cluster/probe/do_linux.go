package probe

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

// defaultTimeout is that of a probe that states none.
const defaultTimeout = time.Second

// do carries out a request.
func (s *server) do(ctx context.Context, r wire.Request) (reply wire.Reply, err error) {
	for _, part := range []func(context.Context, wire.Request, *wire.Reply) error{
		s.listen, s.probe, s.keep, s.ask, s.await, s.arrived, s.heard, s.speak, s.hangUp,
	} {
		if err := part(ctx, r, &reply); err != nil {
			return wire.Reply{}, err
		}
	}
	return reply, nil
}

func (s *server) listen(_ context.Context, r wire.Request, _ *wire.Reply) error {
	for _, l := range r.Listen {
		proto, err := flow.ParseProtocol(l.Protocol)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if err := s.prober.Listen(s.Name, proto, l.At); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) toProbe(p wire.Probe) (prober.Probe, error) {
	proto, err := flow.ParseProtocol(p.Protocol)
	if err != nil {
		return prober.Probe{}, fmt.Errorf("probe: %w", err)
	}
	to := netip.AddrPortFrom(p.To.Addr().Unmap(), p.To.Port())
	return prober.Probe{From: s.Name, To: to, Protocol: proto, Timeout: cmp.Or(p.Timeout, defaultTimeout)}, nil
}

func (s *server) probe(ctx context.Context, r wire.Request, reply *wire.Reply) error {
	probes := make([]prober.Probe, len(r.Probes))
	for i, p := range r.Probes {
		var err error
		if probes[i], err = s.toProbe(p); err != nil {
			return err
		}
	}
	seen, err := s.prober.Probe(ctx, probes)
	if err != nil {
		return err
	}
	for _, o := range seen {
		reply.Results = append(reply.Results, result(o))
	}
	return nil
}

// result tells a packet that never left from one that got no answer, and that from one that was refused.
func result(o backend.Observation) wire.Result {
	r := wire.Result{Answered: o.Answered, RTT: o.RTT, Port: o.Port, Detail: o.Detail}
	switch {
	case o.Outcome == backend.Connected:
		r.Outcome = wire.Connected
	case o.Outcome == backend.Refused:
		r.Outcome = wire.Refused
	case prober.NotSent(o):
		r.Outcome = wire.Error
	default:
		r.Outcome, r.Detail = wire.Timeout, ""
	}
	return r
}

func (s *server) keep(ctx context.Context, r wire.Request, reply *wire.Reply) error {
	if r.Keep == nil {
		return nil
	}
	p, err := s.toProbe(r.Keep.Probe)
	if err != nil {
		return err
	}
	seen, err := s.prober.Keep(ctx, r.Keep.Name, p)
	if err != nil {
		return err
	}
	reply.Kept = &wire.Kept{Result: result(seen)}
	if seen.Outcome == backend.Connected {
		reply.Kept.Opening, err = s.prober.Opening(r.Keep.Name)
	}
	return err
}

func (s *server) hangUp(_ context.Context, r wire.Request, _ *wire.Reply) error {
	return s.prober.HangUp(r.HangUp)
}

func (s *server) ask(ctx context.Context, r wire.Request, reply *wire.Reply) (err error) {
	asked, err := s.prober.Ask(ctx, r.Ask, cmp.Or(r.Timeout, defaultTimeout))
	reply.Asked = fromAsked(asked)
	return err
}

func (s *server) await(ctx context.Context, r wire.Request, reply *wire.Reply) (err error) {
	var names []string
	var numbers []uint64
	for _, w := range r.Await {
		names, numbers = append(names, w.Name), append(numbers, w.Number)
	}
	asked, err := s.prober.Await(ctx, names, numbers, cmp.Or(r.Timeout, defaultTimeout))
	reply.Awaited = fromAsked(asked)
	return err
}

func fromAsked(all []prober.Asked) (out []wire.Asked) {
	for _, a := range all {
		out = append(out, wire.Asked(a))
	}
	return out
}

func (s *server) arrived(_ context.Context, r wire.Request, reply *wire.Reply) (err error) {
	var questions []prober.Arrival
	for _, a := range r.Arrived {
		proto, err := flow.ParseProtocol(a.Protocol)
		if err != nil {
			return fmt.Errorf("arrived: %w", err)
		}
		questions = append(questions, prober.Arrival{
			Protocol: proto, From: netip.AddrPortFrom(a.Addr, a.Port), At: a.At,
		})
	}
	reply.Arrived, err = s.prober.Arrived(questions)
	return err
}

func (s *server) heard(_ context.Context, r wire.Request, reply *wire.Reply) (err error) {
	reply.Heard, err = s.prober.Heard(r.Heard)
	return err
}

func (s *server) speak(_ context.Context, r wire.Request, _ *wire.Reply) error {
	for _, speech := range r.Speak {
		if err := s.prober.Speak(speech.Opening, speech.Number); err != nil {
			return err
		}
	}
	return nil
}
