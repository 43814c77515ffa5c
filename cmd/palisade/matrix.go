package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
)

// matrixFlags are those of palisade matrix.
type matrixFlags struct {
	input
	probes   []string
	from, to []string
	changed  []string
	engine   string
}

func newMatrix(w *world) *cobra.Command {
	var flags matrixFlags
	c := &cobra.Command{
		Use:   "matrix (-f PATH... | --context NAME)",
		Short: "Print who may connect to whom",
		Long: `Print the connectivity matrix of all pods in manifests or in a running cluster, one for each probe.

Rows are sources, columns destinations: . allowed, X denied, ? undefined (the Kubernetes API leaves it open, or one end
has no network: completed pods keep their row and column). A pod always reaches itself.

--from and --to select rows and columns by PATTERN; given several times, one match is enough:
  shop/web-*    pods by namespace and name, * and ? standing for any characters and for one
  shop          all pods of a namespace
  app=web       pods by their labels: a label selector, as kubectl takes it

--changed OTHER reads other manifests, those of before, and prints only what differs, as it was and as it is now. The
exit code is 0 all the same.

The engine "model" asks the reference model, "tables" interprets the compiled tables, and "kernel" sends packets
through the eBPF program (needs root). Outputs: table for terminals, json and csv for programs; html, svg, md and dot
(Graphviz) are for others to look at, and each is one file that needs nothing else.`,
		Example: `  palisade matrix -f app.yaml -f policies/
  palisade matrix --context prod --from shop --to 'kube-system/coredns-*' --probe UDP/53
  palisade matrix -f new/ --changed old/
  palisade matrix -f app.yaml -o html > matrix.html
  kubectl get ns,po,svc,no,netpol -A -o yaml | palisade matrix -f - --probe TCP/80,UDP/53 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return printMatrix(c.Context(), w, flags) },
	}
	flags.register(c, "table", "json", "csv", "html", "svg", "md", "dot")
	c.Flags().StringSliceVar(&flags.probes, "probe", nil,
		"`PROTOCOL/PORT` to probe, for example TCP/80,UDP/53 (default: every declared container port, else TCP/80)")
	c.Flags().StringArrayVar(&flags.from, "from", nil, "only rows of pods that `PATTERN` matches; may be repeated")
	c.Flags().StringArrayVar(&flags.to, "to", nil, "only columns of pods that `PATTERN` matches; may be repeated")
	c.Flags().StringSliceVar(&flags.changed, "changed", nil,
		"only what differs from the manifests in `OTHER`, as was and is; may be repeated")
	choice(c, &flags.engine, "engine", "", "model", "tables", "kernel")
	return c
}

func printMatrix(ctx context.Context, w *world, flags matrixFlags) error {
	ask, err := flags.question()
	if err != nil {
		return err
	}
	cluster, family, err := flags.load(ctx, w)
	if err != nil {
		return err
	}
	ask.family = family
	if flags.changed != nil {
		return printChanges(ctx, w, flags, ask, cluster)
	}
	if ask.probes == nil {
		ask.probes = matrix.DefaultProbes(cluster)
	}
	matrices, err := ask.answer(ctx, w, cluster)
	if err != nil {
		return err
	}
	return writeMatrices(w.out, flags.output, flags.engine, matrices)
}

// printChanges compares with the manifests of before. Without --probe, the ports of both are probed.
func printChanges(ctx context.Context, w *world, flags matrixFlags, ask question, now *model.Cluster) error {
	before, err := loadManifests(w, flags.changed)
	if err != nil {
		return err
	}
	if ask.probes == nil {
		both := &model.Cluster{Pods: slices.Concat(before.Pods, now.Pods)}
		ask.probes = matrix.DefaultProbes(both)
	}
	was, err := ask.answer(ctx, w, before)
	if err != nil {
		return fmt.Errorf("--changed: %w", err)
	}
	is, err := ask.answer(ctx, w, now)
	if err != nil {
		return err
	}
	comparisons := make([]matrix.Comparison, 0, len(is))
	for i := range is {
		comparisons = append(comparisons, matrix.Compare(was[i], is[i]))
	}
	return writeChanges(w.out, flags.output, flags.engine, comparisons)
}
