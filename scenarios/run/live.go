package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// Picky is a backend that not every scenario can be replayed on.
type Picky interface {
	// Applies returns nil if a scenario can be replayed, else why not.
	Applies(ctx context.Context, scenario *spec.Scenario, stages []spec.Stage) error
}

// Applicable divides scenarios into those that can be replayed on a backend and files of which no case can. The latter
// are named by their first case.
func Applicable(ctx context.Context, b backend.Backend, inputs []Input) ([]Input, []Inapplicable, error) {
	picky, ok := b.(Picky)
	if !ok {
		return inputs, nil, nil
	}
	var fit []Input
	refused, fits := map[string]Inapplicable{}, map[string]bool{}
	var files []string
	for _, in := range inputs {
		stages, err := in.Scenario.Stages()
		if err != nil {
			return nil, nil, err
		}
		if err := picky.Applies(ctx, in.Scenario, stages); err == nil {
			fit, fits[in.File] = append(fit, in), true
		} else if _, known := refused[in.File]; !known {
			files = append(files, in.File)
			refused[in.File] = Inapplicable{in.Scenario.Metadata.Name, in.File, err.Error()}
		}
	}
	var rest []Inapplicable
	for _, file := range files {
		if !fits[file] {
			rest = append(rest, refused[file])
		}
	}
	return fit, rest, ctx.Err()
}

// liveStep brings a live cluster to one stage, asks the oracle about what the cluster is then, and looks until what it
// sees is stable.
func (r *runner) liveStep(
	ctx context.Context, session backend.Live, stage spec.Stage, file, at string,
) (StepResult, error) {
	start := r.Now()
	for _, cluster := range append(stage.Before, stage.Cluster) {
		if err := session.Apply(ctx, cluster); err != nil {
			return StepResult{}, fmt.Errorf("apply: %w", err)
		}
	}
	actual, changed, err := session.Actual(ctx)
	if err != nil {
		return StepResult{}, fmt.Errorf("read the cluster: %w", err)
	}
	stage.Cluster = actual
	if elsewhere, ok := session.(backend.Elsewhere); ok {
		stage.Outside = actualHosts(elsewhere.Hosts())
	}
	p, err := newPlan(r.Oracle(actual), stage, file)
	if err != nil {
		return StepResult{}, err
	}
	w := watch{runner: r, session: session, plan: p, changed: changed}
	if err := w.use(ctx); err != nil {
		return StepResult{}, err
	}
	if err := w.look(ctx); err != nil {
		return StepResult{}, err
	}
	if err := w.useAgain(ctx); err != nil {
		return StepResult{}, err
	}
	if err := p.open(ctx, session, r.Confirm); err != nil {
		return StepResult{}, err
	}
	result := p.result(stage.Name, at, r.Profile)
	result.Seconds, result.Convergence = r.since(start), p.convergence()
	return result, nil
}

func actualHosts(hosts []backend.Host) []spec.Host {
	var actual []spec.Host
	for _, h := range hosts {
		actual = append(actual, spec.Host{Name: h.Name, Addrs: h.Addrs})
	}
	return actual
}

// watch looks at a live cluster until it is as expected, or has had enough time.
type watch struct {
	*runner
	session backend.Session
	plan    *plan
	changed time.Time
}

// late reports whether the data plane has had its time.
func (w watch) late() bool { return w.Now().Sub(w.changed) > w.Settle }

// pause waits a little.
func (w watch) pause(ctx context.Context) error {
	timer := time.NewTimer(w.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use uses kept connections, and those that are not as expected again until they are. One that has stopped is not used
// again: the exchange has made its other end speak, and that may open it anew.
func (w watch) use(ctx context.Context) error {
	for now := w.plan.held; len(now) > 0; {
		if err := exchangeOnce(ctx, w.session, now, w.Confirm); err != nil {
			return err
		}
		now = slices.DeleteFunc(slices.Clone(now), func(h *held) bool { return h.agrees(h.decision.Verdict) })
		if w.late() {
			return nil
		}
		for _, h := range now {
			h.confirmed = true
		}
		if err := w.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// useAgain uses those kept connections once more that are to go on, after everything else was seen to be in force.
func (w watch) useAgain(ctx context.Context) error {
	open := slices.DeleteFunc(slices.Clone(w.plan.held), func(h *held) bool { return h.decision.Verdict != flow.Allow })
	return exchangeOnce(ctx, w.session, open, w.Confirm)
}

// patience is how long to wait for packets: for the last look longer.
func (w watch) patience(last bool) time.Duration {
	if last {
		return w.Confirm
	}
	return w.First
}

// look looks at all connections, then at those that are not as expected until they are, and then at all again until all
// are as expected Looks times in a row.
func (w watch) look(ctx context.Context) error {
	now, good := w.plan.checks, 0
	for last := false; len(now) > 0; {
		if err := w.at(ctx, now, last); err != nil {
			return err
		}
		wrong := w.plan.wrong()
		switch {
		case last, len(wrong) == 0 && len(now) == len(w.plan.checks) && good+1 == w.Looks:
			return nil
		case len(wrong) > 0:
			now, good, last = wrong, 0, w.late()
		case len(now) == len(w.plan.checks):
			good++
		default:
			now = w.plan.checks
		}
		if err := w.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// at looks at connections once. What is expected gets more time: an answer that is late is no denial, and one that
// comes costs nothing.
func (w watch) at(ctx context.Context, checks []*check, last bool) error {
	since := max(w.Now().Sub(w.changed), time.Millisecond)
	err := probe(ctx, w.session, checks, func(c *check) time.Duration {
		return w.patience(last || c.decision.Verdict == flow.Allow)
	})
	for _, c := range checks {
		switch good := c.agrees(c.decision.Verdict); {
		case !good:
			c.settled, c.confirmed = 0, true
		case c.settled == 0:
			c.settled = since
		}
	}
	return err
}

// wrong returns the checks that are not as the oracle says.
func (p *plan) wrong() []*check {
	return slices.DeleteFunc(slices.Clone(p.checks), func(c *check) bool { return c.agrees(c.decision.Verdict) })
}

// convergence returns when the last connection was as expected, in seconds after the change.
func (p *plan) convergence() float64 {
	var last time.Duration
	for _, c := range p.checks {
		last = max(last, c.settled)
	}
	return last.Seconds()
}

// settled returns when each cell was as expected; nil where nobody measured it.
func (m *planMatrix) settled() [][]float64 {
	measured := false
	rows := make([][]float64, len(m.checks))
	for i, checks := range m.checks {
		rows[i] = make([]float64, len(checks))
		for j, c := range checks {
			rows[i][j] = -1
			if c != nil && c.settled > 0 {
				measured, rows[i][j] = true, c.settled.Seconds()
			}
		}
	}
	if !measured {
		return nil
	}
	return rows
}

// use says what a connection depends on.
func (p *plan) use(c *check, kept bool) profile.Use {
	u := profile.Use{
		Protocol: c.Protocol, Family: flow.FamilyOf(c.to.Addr()), Kept: kept,
		Service: strings.HasPrefix(c.label, "service/"), Refused: c.seen.Outcome == backend.Refused,
		Node: strings.Contains(c.from+" "+c.label, "node/") || p.inNode(c.from) || p.inNode(c.label),
	}
	isolating := slices.Concat(c.decision.Egress.Isolating, c.decision.Ingress.Isolating)
	u.Policies = slices.DeleteFunc(slices.Clone(p.cluster.Policies), func(policy *networkingv1.NetworkPolicy) bool {
		return !slices.Contains(isolating, model.PolicyRef{Namespace: policy.Namespace, Name: policy.Name})
	})
	return u
}

// inNode reports whether an end is a pod in its node's network.
func (p *plan) inNode(name string) bool {
	e, ok := p.ends[name]
	return ok && e.endpoint.Pod != nil && e.endpoint.Pod.Spec.HostNetwork
}
