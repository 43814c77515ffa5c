package run

import (
	"context"
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// opening is a connection to open and keep.
type opening struct {
	name  string
	check *check // the same connection as a probe
}

// addKept plans a connection that is held, or one to open. What has become of a held one is what would become of the
// same connection if it were new: a policy cuts what it would not allow, and nothing else. The API leaves that to
// implementations, and this is ours.
func (p *plan) addKept(k spec.Kept, file string, old bool) error {
	from, to, err := p.between(k.From, k.To, k.Service)
	if err != nil {
		return err
	}
	c := p.check(from, to, k.PortProto, k.Family)
	if c == nil {
		return fmt.Errorf("%s and %s do not both have an %s address", from.name, to.name, k.Family)
	}
	if !old {
		p.opens = append(p.opens, opening{k.Name, c})
		return nil
	}
	h := &held{check: c, name: k.Name, mayReturn: p.mayReturn(from, to, k)}
	h.label = fmt.Sprintf("%s (kept as %s)", c.label, k.Name)
	if k.Verdict != flow.Undefined {
		h.claims = append(h.claims, claim{k.Verdict, fmt.Sprintf("%s:%d", file, k.Line)})
	}
	p.held = append(p.held, h)
	return nil
}

// ephemeralPort is a port as those that connections are opened from.
const ephemeralPort = 50000

// mayReturn asks whether the other end of a connection may send to its opener. Where that is open, it may.
func (p *plan) mayReturn(from, to end, k spec.Kept) bool {
	back := p.check(to, from, flow.PortProto{Protocol: k.Protocol, Port: ephemeralPort}, k.Family)
	return back == nil || back.decision.Verdict != flow.Deny
}

// held is a connection of an earlier step.
type held struct {
	*check
	name string
	// mayReturn is whether the end that took the connection may send to the other end of its own accord, so that packets
	// back say nothing about the connection.
	mayReturn bool
	passage   backend.Passage
}

// agrees reports whether what was seen is what v promises: a connection that goes on does so both ways.
func (h *held) agrees(v flow.Verdict) bool {
	switch v {
	case flow.Allow:
		return h.passage.There && h.passage.Back
	case flow.Deny:
		return !h.passage.There && (!h.passage.Back || h.mayReturn)
	}
	return true
}

// exchange uses every held connection, and once more, patiently, those that should have gone on: a lost packet is no
// denial. For one that should have stopped there is no excuse.
func (p *plan) exchange(ctx context.Context, s backend.Session, first, confirm time.Duration) error {
	if err := exchangeOnce(ctx, s, p.held, first); err != nil {
		return err
	}
	var again []*held
	for _, h := range p.held {
		if h.confirmed = h.decision.Verdict == flow.Allow && !h.agrees(flow.Allow); h.confirmed {
			again = append(again, h)
		}
	}
	return exchangeOnce(ctx, s, again, confirm)
}

func exchangeOnce(ctx context.Context, s backend.Session, all []*held, timeout time.Duration) error {
	if len(all) == 0 {
		return nil
	}
	names := make([]string, len(all))
	for i, h := range all {
		names[i] = h.name
	}
	seen, err := s.Exchange(ctx, names, timeout)
	if err != nil {
		return fmt.Errorf("use kept connections: %w", err)
	}
	if len(seen) != len(all) {
		return fmt.Errorf("use kept connections: told of %d, not of %d", len(seen), len(all))
	}
	for i, h := range all {
		h.passage = seen[i]
	}
	return nil
}

// open opens the connections that later steps use.
func (p *plan) open(ctx context.Context, s backend.Session, timeout time.Duration) error {
	for _, o := range p.opens {
		probe := backend.Probe{From: o.check.from, To: o.check.to, Protocol: o.check.Protocol, Timeout: timeout}
		seen, err := s.Keep(ctx, o.name, probe)
		if err != nil {
			return fmt.Errorf("open connection %s: %w", o.name, err)
		}
		if o.check.seen = seen; seen.Outcome != backend.Connected {
			return fmt.Errorf("open connection %s: %s", o.name, o.check.outcome())
		}
	}
	return nil
}
