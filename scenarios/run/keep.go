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

// addKept plans a connection that is held, or one to open. What has become of a held one is what would become of the same
// connection if it were new: a policy cuts what it would not allow, and nothing else. The API leaves that to
// implementations, and this is ours.
func (p *plan) addKept(k spec.Kept, file string, held bool) error {
	from, to, err := p.between(k.From, k.To, k.Service)
	if err != nil {
		return err
	}
	c := p.check(from, to, k.PortProto, k.Family)
	if c == nil {
		return fmt.Errorf("%s and %s do not both have an %s address", from.name, to.name, k.Family)
	}
	if !held {
		p.opens = append(p.opens, opening{k.Name, c})
		return nil
	}
	c.label, c.listener = fmt.Sprintf("%s (kept as %s)", c.label, k.Name), nil
	if k.Verdict != flow.Undefined {
		c.claims = append(c.claims, claim{k.Verdict, fmt.Sprintf("%s:%d", file, k.Line)})
	}
	p.held, p.kept = append(p.held, c), append(p.kept, k.Name)
	return nil
}

// exchange uses every held connection, and once more, patiently, those that should have gone on: a lost packet is no
// denial. For one that should have stopped there is no excuse.
func (p *plan) exchange(ctx context.Context, s backend.Session, first, confirm time.Duration) error {
	if err := exchangeOnce(ctx, s, p.held, p.kept, first); err != nil {
		return err
	}
	var again []*check
	var names []string
	for i, c := range p.held {
		if c.decision.Verdict == flow.Allow && !c.agrees(flow.Allow) {
			c.confirmed = true
			again, names = append(again, c), append(names, p.kept[i])
		}
	}
	return exchangeOnce(ctx, s, again, names, confirm)
}

func exchangeOnce(ctx context.Context, s backend.Session, held []*check, names []string, timeout time.Duration) error {
	if len(held) == 0 {
		return nil
	}
	seen, err := s.Exchange(ctx, names, timeout)
	if err != nil {
		return fmt.Errorf("use kept connections: %w", err)
	}
	if len(seen) != len(held) {
		return fmt.Errorf("use kept connections: %d observations for %d connections", len(seen), len(held))
	}
	for i, c := range held {
		c.seen = seen[i]
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
