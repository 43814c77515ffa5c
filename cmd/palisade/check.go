package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/cmd/palisade/check"
	"github.com/palisade-netpol/palisade/cmd/palisade/live"
)

// checkFlags are those of palisade check.
type checkFlags struct {
	live   live.Options
	node   bool
	phase  string
	output string
}

func newCheck(w *world) *cobra.Command {
	var flags checkFlags
	c := &cobra.Command{
		Use:   "check [--context NAME] [--node]",
		Short: "Look whether a cluster can enforce policies, and whether it does",
		Long: `Look, before Palisade is installed, for what is in its way: other policy engines, nodes and kernels that cannot
run it; and after that, whether everything is in place: controller and agents ready, every NetworkPolicy published
completely. Each finding comes with what to do.

--node looks at the machine it runs on instead, which should be a node: loads the programs with as few rights as the
agent has, tries both kinds of hooks in a network namespace of its own, and lists programs and rules of others. Given
together with --context or --kubeconfig, both the cluster and the node are looked at.

Nothing is changed. The exit code is 1 if a check fails or may not be made; warnings do not fail.`,
		Example: `  palisade check
  palisade check --context prod -o json
  sudo palisade check --node`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runCheck(c.Context(), w, flags) },
	}
	c.Flags().StringVar(&flags.live.Context, "context", "", "`NAME` of a kubeconfig context (default: the current one)")
	c.Flags().StringVar(&flags.live.Kubeconfig, "kubeconfig", "",
		"`PATH` of a kubeconfig (default: $KUBECONFIG, ~/.kube/config; in a pod its ServiceAccount)")
	c.Flags().BoolVar(&flags.node, "node", false, "look at this machine, as root for all of it")
	choice(c, &flags.phase, "phase", "", string(check.Auto), string(check.Before), string(check.After))
	choice(c, &flags.output, "output", "o", "text", "json")
	return c
}

// runCheck prints the reports, also those that fail.
func runCheck(ctx context.Context, w *world, flags checkFlags) error {
	reports, err := readReports(ctx, flags)
	if err != nil {
		return err
	}
	if err := writeReports(w.out, flags.output, reports); err != nil {
		return err
	}
	return verdict(reports)
}

// verdict is an error unless all checks could be made and none failed.
func verdict(reports []check.Report) error {
	failed, skipped, all := 0, 0, 0
	for _, r := range reports {
		failed += r.Count(check.Failed)
		skipped += r.Count(check.Skipped)
		all += len(r.Checks)
	}
	switch {
	case skipped > 0:
		return failf("%d of %d checks failed, and %d could not be made", failed, all, skipped)
	case failed > 0:
		return failf("%d of %d checks failed", failed, all)
	}
	return nil
}

func readReports(ctx context.Context, flags checkFlags) ([]check.Report, error) {
	var reports []check.Report
	if !flags.node || flags.live != (live.Options{}) {
		r, err := clusterReport(ctx, flags)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	if flags.node {
		node, err := check.ReadNode(ctx)
		if err != nil {
			return nil, failure{err}
		}
		r, err := node.Report(check.Phase(flags.phase))
		if err != nil {
			return nil, failure{err}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func clusterReport(ctx context.Context, flags checkFlags) (check.Report, error) {
	config, err := live.Config(flags.live)
	if err != nil {
		return check.Report{}, err
	}
	cluster, err := check.ReadCluster(ctx, config)
	if err != nil {
		return check.Report{}, failure{err}
	}
	r, err := cluster.Report(check.Phase(flags.phase))
	if err != nil {
		return check.Report{}, failure{err}
	}
	return r, nil
}
