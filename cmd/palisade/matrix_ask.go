package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// question is what is asked about a cluster.
type question struct {
	probes   []flow.PortProto // nil: not chosen
	from, to []matrix.Pattern
	family   flow.Family
	engine   string
}

func (flags *matrixFlags) question() (question, error) {
	ask := question{engine: flags.engine}
	var errs [3]error
	ask.probes, errs[0] = parseProbes(flags.probes)
	ask.from, errs[1] = parsePatterns("--from", flags.from)
	ask.to, errs[2] = parsePatterns("--to", flags.to)
	return ask, cmp.Or(errs[0], errs[1], errs[2])
}

func parsePatterns(flag string, texts []string) ([]matrix.Pattern, error) {
	var patterns []matrix.Pattern
	for _, text := range texts {
		pattern, err := matrix.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

// axes selects the pods that are asked about.
func (ask *question) axes(c *model.Cluster) (matrix.Axes, error) {
	all := matrix.Pods(c)
	axes := matrix.Axes{From: matrix.Select(all, ask.from), To: matrix.Select(all, ask.to)}
	switch {
	case len(all) == 0:
		return axes, errors.New("there are no pods in the input, so there is no matrix")
	case len(axes.From) == 0:
		return axes, errors.New("--from matches no pod")
	case len(axes.To) == 0:
		return axes, errors.New("--to matches no pod")
	}
	return axes, nil
}

// parseProbes reads --probe; each probe once, in the order given.
func parseProbes(texts []string) ([]flow.PortProto, error) {
	var probes []flow.PortProto
	for _, text := range texts {
		probe, err := flow.ParsePortProto(text)
		if err != nil {
			return nil, fmt.Errorf("--probe: %w", err)
		}
		if !slices.Contains(probes, probe) {
			probes = append(probes, probe)
		}
	}
	return probes, nil
}

func (ask *question) answer(ctx context.Context, w *world, c *model.Cluster) (_ []matrix.Matrix, err error) {
	axes, err := ask.axes(c)
	if err != nil {
		return nil, err
	}
	if ask.engine == "model" {
		return matrix.Compute(ctx, axes, ask.probes, ask.family, matrix.Oracle(c)...)
	}
	e := w.engines[ask.engine]()
	defer func() {
		if cerr := e.Close(); err == nil && cerr != nil {
			err = failf("engine %s: close: %w", ask.engine, cerr)
		}
	}()
	err = e.Load(ctx, c)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("engine %s cannot run here: %w", ask.engine, err)
	}
	if err != nil {
		return nil, failf("engine %s: load: %w", ask.engine, err)
	}
	matrices, err := matrix.Compute(ctx, axes, ask.probes, ask.family, judges(e)...)
	if err != nil {
		return nil, failf("engine %s: %w", ask.engine, err)
	}
	return matrices, nil
}

// judges returns e once for every goroutine that may ask it at the same time.
func judges(e engine.Engine) []matrix.Judge {
	workers := engine.Askers(e)
	all := make([]matrix.Judge, workers)
	for i := range all {
		all[i] = e
	}
	return all
}
