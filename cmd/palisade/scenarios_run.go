package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/report"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
)

// runFlags are those of palisade scenarios run.
type runFlags struct {
	selection
	backend  string
	out      string
	parallel int
	plane    planeFlags
	cluster  clusterFlags
	profile  string
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
compiled tables without traffic, auto takes the stronger of the two that can run. cluster makes namespaces and pods in
the cluster of a kubeconfig, whatever enforces policies there, and removes them; kind makes a cluster, installs Palisade
there and removes it (needs root and the source tree). Reports are written as JSON, JUnit XML and HTML.

A file that varies families, protocols, placement or order is several cases. sim runs them all; where packets are real,
one case of each file is run, and all with --all-cases.`,
		RunE: func(c *cobra.Command, args []string) error {
			flags.paths = orDefault(args)
			if err := flags.check(c); err != nil {
				return err
			}
			return runScenarios(c.Context(), w, flags)
		},
	}
	flags.register(c)
	choice(c, &flags.backend, "backend", "", backendNames...)
	c.Flags().StringVar(&flags.out, "out", "out", "`FOLDER` for the reports")
	c.Flags().BoolVar(&flags.allCases, "all-cases", false, "run every case of every file also where packets are real")
	flags.plane.register(c)
	flags.cluster.register(c)
	c.Flags().StringVar(&flags.profile, "profile", "",
		"`FILE` that declares what the tested enforcement does not do: such differences are no failures")
	c.Flags().IntVar(&flags.parallel, "parallel", 4, "scenarios to run side by side")
	return c
}

// check refuses what cannot be meant.
func (f *runFlags) check(c *cobra.Command) error {
	if f.parallel < 1 {
		return fmt.Errorf("--parallel must be at least 1, not %d", f.parallel)
	}
	return f.cluster.check(c, f.backend)
}

// limits reads the capability profile, nil if none is given.
func (f *runFlags) limits() (*profile.Profile, error) {
	if f.profile == "" {
		return nil, nil
	}
	return profile.Load(f.profile)
}

func runScenarios(ctx context.Context, w *world, flags runFlags) (err error) {
	declared, err := flags.limits()
	if err != nil {
		return err
	}
	backends, err := flags.cluster.add(flags.backend, w)
	if err != nil {
		return err
	}
	chosen, why, err := chooseBackend(flags.backend, backends)
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
	inputs, inapplicable, left, err := flags.narrow(ctx, chosen, inputs)
	if err != nil {
		return err
	}
	w.out.printf("%s on %s%s%s\n%s\n", run.Count(len(inputs), "scenario"), why, plane, left, reasons(inapplicable))
	progress := newProgress(w.out, len(inputs))
	result, err := run.Run(ctx, run.Options{
		Backend: chosen, Parallel: flags.parallel, Progress: progress.update, Now: w.now,
		Settle: flags.cluster.settle, Looks: flags.cluster.looks, Profile: declared,
	}, inputs)
	progress.clear()
	if err != nil {
		return failf("run scenarios: %w", err)
	}
	result.Inapplicable = inapplicable
	if declared != nil {
		result.Profile = declared.Metadata.Name
	}
	return w.tell(flags.out, result)
}

// narrow leaves the scenarios that a backend can replay, and of those with many cases one where packets are real. It
// returns the others with their reasons, and a sentence about cases.
func (f *runFlags) narrow(
	ctx context.Context, b backend.Backend, inputs []run.Input,
) (fit []run.Input, rest []run.Inapplicable, left string, err error) {
	for _, in := range inputs {
		in.Scenario.Spread(f.plane.nodes)
	}
	fit, rest, err = run.Applicable(ctx, b, inputs)
	if err != nil {
		return nil, nil, "", failf("look what can be replayed: %w", err)
	}
	if len(fit) == 0 {
		return nil, nil, "", fmt.Errorf("none of the scenarios can be replayed on backend %s\n%s", b.Name(), reasons(rest))
	}
	sample := run.Sample(fit)
	if b.Name() == "sim" || f.allCases || len(sample) == len(fit) {
		return fit, rest, "", nil
	}
	return sample, rest, fmt.Sprintf(", one case of each; --all-cases runs all %d", len(fit)), nil
}

// tell writes the reports and prints what was found out, which is also what the command returns.
func (w *world) tell(folder string, result run.Result) error {
	paths, err := report.Write(folder, result)
	if err != nil {
		return failure{err}
	}
	if _, err := fmt.Fprint(w.out, summary{result, w.out}.String()); err != nil {
		return failure{err}
	}
	w.out.printf("\nreports: %s\n", strings.Join(paths, " "))
	return outcome(result)
}

// reasons says how many scenarios do not apply to a backend, and why: one line per reason.
func reasons(all []run.Inapplicable) string {
	if len(all) == 0 {
		return ""
	}
	by := map[string]int{}
	for _, one := range all {
		by[one.Reason]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s cannot be replayed there:\n", run.Count(len(all), "further scenario"))
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&b, "  %3d %s\n", by[reason], reason)
	}
	return b.String()
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
