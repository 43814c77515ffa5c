// Package run replays scenarios on a backend and compares what it observes with the reference model and with the
// expectations people wrote down.
//
// After every step the whole matrix of pods and ports is observed, not only what somebody thought of, and the
// hand-written expectations are compared with the model and with the observation alike, so that a wrong model cannot
// agree with itself. Connections about which the API says nothing are observed and shown, never compared.
package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// Oracle says what must happen to a connection; *model.Model is the one to use outside tests.
type Oracle interface {
	Decide(q model.Query) model.Decision
}

// Input is a scenario to run.
type Input struct {
	Scenario *spec.Scenario
	File     string // where people find it, as results name it
}

// Options say how to run scenarios. Backend is required; the zero value of the rest is what users get.
type Options struct {
	Backend backend.Backend
	// Parallel is how many scenarios run side by side, each on a session of its own; zero means 4.
	Parallel int
	// First is how long the first probe of a connection waits for an answer; zero means 250 ms.
	First time.Duration
	// Confirm is how long the second probe waits, which follows a first one that went otherwise than expected; zero
	// means 3 s.
	Confirm time.Duration
	// Settle is how long the data plane of a live cluster may take to enforce a change; zero means 30 s.
	Settle time.Duration
	// Looks is how many times in a row all connections of a live cluster must be seen as expected; zero means 3.
	Looks int
	// Pause is how long to wait between two looks at a live cluster; zero means 100 ms.
	Pause time.Duration
	// Profile says which differences are declared limits of what is tested. May be nil.
	Profile *profile.Profile
	// Progress is told of every step's begin and, unless the run is cancelled, of every scenario's end; calls never
	// overlap. May be nil.
	Progress func(Progress)
	// Oracle makes the reference for one cluster; nil means model.New.
	Oracle func(*model.Cluster) Oracle
	// Now is the clock that durations are measured with; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if o.First == 0 {
		o.First = 250 * time.Millisecond
	}
	if o.Confirm == 0 {
		o.Confirm = 3 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 30 * time.Second
	}
	if o.Looks == 0 {
		o.Looks = 3
	}
	if o.Pause == 0 {
		o.Pause = 100 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Oracle == nil {
		o.Oracle = func(c *model.Cluster) Oracle { return model.New(c) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Progress tells where a scenario is.
type Progress struct {
	Index    int // of the scenario among those given
	Scenario string
	Step     int // counts from 1; Steps is the last
	Steps    int
	StepName string
	Done     *ScenarioResult // set once, when the scenario has ended
}

// runner is a run under way.
type runner struct {
	Options
	progress sync.Mutex
}

// Run replays scenarios and returns what it found. An error of one scenario stands in its result and does not stop
// the others; the error returned is only ever that of ctx.
func Run(ctx context.Context, o Options, inputs []Input) (Result, error) {
	r := &runner{Options: o.withDefaults()}
	result := Result{Backend: r.Backend.Name(), Start: r.Now(), Scenarios: make([]ScenarioResult, len(inputs))}
	var group errgroup.Group
	group.SetLimit(r.Parallel)
	for i, in := range inputs {
		group.Go(func() error {
			result.Scenarios[i] = r.scenario(ctx, i, in)
			if ctx.Err() == nil {
				r.report(Progress{Index: i, Scenario: in.Scenario.Metadata.Name, Done: &result.Scenarios[i]})
			}
			return nil
		})
	}
	_ = group.Wait() // always nil: errors stand in the results
	result.Seconds = r.since(result.Start)
	return result, ctx.Err()
}

func (r *runner) report(p Progress) {
	r.progress.Lock()
	defer r.progress.Unlock()
	r.Progress(p)
}

func (r *runner) since(start time.Time) float64 { return r.Now().Sub(start).Seconds() }

// scenario runs one scenario on a session of its own.
func (r *runner) scenario(ctx context.Context, index int, in Input) ScenarioResult {
	start := r.Now()
	result := ScenarioResult{
		Name: in.Scenario.Metadata.Name, Title: in.Scenario.Description, File: in.File, Steps: []StepResult{},
	}
	if err := r.steps(ctx, index, in, &result); err != nil {
		result.Error = err.Error()
	}
	result.Seconds = r.since(start)
	return result
}

func (r *runner) steps(ctx context.Context, index int, in Input, result *ScenarioResult) (err error) {
	stages, err := in.Scenario.Stages()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	session, err := r.Backend.Open(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", r.Backend.Name(), err)
	}
	defer func() {
		if cerr := session.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close %s: %w", r.Backend.Name(), cerr)
		}
	}()
	if err := session.Outside(ctx, outside(stages)); err != nil {
		return fmt.Errorf("make the hosts outside: %w", err)
	}
	for i, stage := range stages {
		r.report(Progress{
			Index: index, Scenario: result.Name, Step: i + 1, Steps: len(stages), StepName: stage.Name,
		})
		at := fmt.Sprintf("%s:%d", in.File, in.Scenario.Steps[i].Node().Line)
		step, err := r.step(ctx, session, stage, in.File, at)
		if err != nil {
			return fmt.Errorf("%s: step %d (%s): %w", at, i+1, stage.Name, err)
		}
		result.Steps = append(result.Steps, step)
	}
	return nil
}

func outside(stages []spec.Stage) []backend.Host {
	var hosts []backend.Host
	for _, h := range stages[0].Outside {
		hosts = append(hosts, backend.Host{Name: h.Name, Addrs: h.Addrs})
	}
	return hosts
}

// step brings the cluster to one stage, observes it and judges what it saw.
func (r *runner) step(
	ctx context.Context, session backend.Session, stage spec.Stage, file, at string,
) (StepResult, error) {
	if live, ok := session.(backend.Live); ok {
		return r.liveStep(ctx, live, stage, file, at)
	}
	start := r.Now()
	p, err := newPlan(r.Oracle(stage.Cluster), stage, file)
	if err != nil {
		return StepResult{}, err
	}
	for _, cluster := range append(stage.Before, stage.Cluster) {
		if err := session.Apply(ctx, cluster); err != nil {
			return StepResult{}, fmt.Errorf("apply: %w", err)
		}
	}
	converged := r.since(start)
	if err := p.exchange(ctx, session, r.First, r.Confirm); err != nil {
		return StepResult{}, err
	}
	if err := observe(ctx, session, p.checks, r.First, r.Confirm); err != nil {
		return StepResult{}, err
	}
	if err := p.open(ctx, session, r.Confirm); err != nil {
		return StepResult{}, err
	}
	result := p.result(stage.Name, at, r.Profile)
	result.Seconds, result.Convergence = r.since(start), converged
	return result, nil
}
