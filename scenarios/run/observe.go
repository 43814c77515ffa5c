package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// observe probes every check, and once more, patiently and from a fresh port, those that went otherwise than the model
// says: a lost packet is no denial, and a packet of the past is no leak.
func observe(ctx context.Context, s backend.Session, checks []*check, first, confirm time.Duration) error {
	if err := probe(ctx, s, checks, always(first)); err != nil {
		return err
	}
	var again []*check
	for _, c := range checks {
		if c.confirmed = worthConfirming(c); c.confirmed {
			again = append(again, c)
		}
	}
	return probe(ctx, s, again, always(confirm))
}

// always gives every check the same time.
func always(timeout time.Duration) func(*check) time.Duration {
	return func(*check) time.Duration { return timeout }
}

// worthConfirming reports whether a second probe of c could excuse what the first one showed. An answer that got lost
// after the packet did arrive at a listener it was denied excuses nothing.
func worthConfirming(c *check) bool {
	leaked := c.decision.Verdict == flow.Deny && c.seen.Outcome == backend.OneWay
	return !leaked && !c.agrees(c.decision.Verdict)
}

// agrees reports whether what was seen is what v promises.
func (c *check) agrees(v flow.Verdict) bool {
	switch v {
	case flow.Allow:
		return c.seen.Outcome == backend.Connected && c.answeredByListener()
	case flow.Deny:
		return c.seen.Outcome == backend.Blocked
	}
	return true
}

func (c *check) answeredByListener() bool {
	return len(c.listener) == 0 || slices.Contains(c.listener, c.seen.Answered)
}

// outcome describes what was seen, for people.
func (c *check) outcome() string {
	text := c.seen.Outcome.String()
	if c.seen.Outcome == backend.Connected && !c.answeredByListener() {
		text += fmt.Sprintf(", but answered by %q", c.seen.Answered)
	}
	if c.seen.Detail != "" {
		text += " (" + c.seen.Detail + ")"
	}
	return text
}

// probe observes checks once.
func probe(ctx context.Context, s backend.Session, checks []*check, timeout func(*check) time.Duration) error {
	if len(checks) == 0 {
		return nil
	}
	probes := make([]backend.Probe, len(checks))
	for i, c := range checks {
		probes[i] = backend.Probe{From: c.from, To: c.to, Protocol: c.Protocol, Timeout: timeout(c)}
	}
	seen, err := s.Probe(ctx, probes)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if len(seen) != len(probes) {
		return fmt.Errorf("probe: %d observations for %d probes", len(seen), len(probes))
	}
	for i, c := range checks {
		c.seen = seen[i]
	}
	return nil
}
