package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/report"
	"github.com/palisade-netpol/palisade/scenarios/run"
)

// runFlags are those of palisade scenarios run.
type runFlags struct {
	selection
	backend  string
	out      string
	parallel int
	plane    planeFlags
	allCases bool
}

func newScenariosRun(w *world) *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run [PATH...]",
		Short: "Replay scenarios on a backend",
		Long: `Replay scenarios (files, or folders of them; default: ` + defaultScenarios + `) and compare every
connection with the reference model, and the expectations written in the scenarios with both.

Backends: netns runs pods as network namespaces with real sockets and real eBPF (needs root), sim steps through on the
compiled tables without traffic, auto takes the strongest that can run. Reports are written as JSON, JUnit XML and
HTML.

A file that varies families, protocols, placement or order is several cases. sim runs them all; where packets are real,
one case of each file is run, and all with --all-cases.`,
		RunE: func(c *cobra.Command, args []string) error {
			flags.paths = orDefault(args)
			return runScenarios(c.Context(), w, flags)
		},
	}
	flags.register(c)
	choice(c, &flags.backend, "backend", "", backendNames...)
	c.Flags().StringVar(&flags.out, "out", "out", "`FOLDER` for the reports")
	c.Flags().BoolVar(&flags.allCases, "all-cases", false, "run every case of every file also where packets are real")
	flags.plane.register(c)
	c.Flags().IntVar(&flags.parallel, "parallel", 4, "scenarios to run side by side")
	return c
}

func runScenarios(ctx context.Context, w *world, flags runFlags) (err error) {
	if flags.parallel < 1 {
		return fmt.Errorf("--parallel must be at least 1, not %d", flags.parallel)
	}
	chosen, why, err := chooseBackend(flags.backend, w.backends)
	if err != nil {
		return err
	}
	inputs, err := flags.load()
	if err != nil {
		return err
	}
	chosen, plane, err := flags.plane.prepare(ctx, chosen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBackend(chosen)) }()
	for _, in := range inputs {
		in.Scenario.Spread(flags.plane.nodes)
	}
	left := ""
	if sample := run.Sample(inputs); chosen.Name() != "sim" && !flags.allCases && len(sample) < len(inputs) {
		left = fmt.Sprintf(", one case of each; --all-cases runs all %d", len(inputs))
		inputs = sample
	}
	w.out.printf("%s on %s%s%s\n\n", run.Count(len(inputs), "scenario"), why, plane, left)
	progress := newProgress(w.out, len(inputs))
	result, err := run.Run(ctx, run.Options{
		Backend: chosen, Parallel: flags.parallel, Progress: progress.update, Now: w.now,
	}, inputs)
	progress.clear()
	if err != nil {
		return failf("run scenarios: %w", err)
	}
	paths, err := report.Write(flags.out, result)
	if err != nil {
		return failure{err}
	}
	if _, err := fmt.Fprint(w.out, summary{result, w.out}.String()); err != nil {
		return failure{err}
	}
	w.out.printf("\nreports: %s\n", strings.Join(paths, " "))
	return outcome(result)
}

// outcome is the error of a run that did not pass.
func outcome(r run.Result) error {
	if r.Passed() {
		return nil
	}
	failed := 0
	for _, s := range r.Scenarios {
		if !s.Passed() {
			failed++
		}
	}
	return failf("%d of %s failed, with %s in %s", failed, run.Count(len(r.Scenarios), "scenario"),
		run.Count(r.Totals().Mismatches, "mismatch"), run.Count(r.Totals().Cells, "connection"))
}
