package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// matrixFlags are those of palisade matrix.
type matrixFlags struct {
	input
	probes []string
	engine string
}

func newMatrix(w *world) *cobra.Command {
	var flags matrixFlags
	c := &cobra.Command{
		Use:   "matrix -f PATH...",
		Short: "Print who may connect to whom",
		Long: `Print the connectivity matrix of all pods in the manifests, one for each probe.

Rows are sources, columns destinations: . allowed, X denied, ? undefined (the Kubernetes API leaves it open, or one end
has no network: completed pods keep their row and column). A pod always reaches itself.

The engine "model" asks the reference model, "tables" interprets the compiled tables, and "kernel" sends packets
through the eBPF program (needs root).`,
		Example: `  palisade matrix -f app.yaml -f policies/
  kubectl get ns,po,svc,no,netpol -A -o yaml | palisade matrix -f - --probe TCP/80,UDP/53 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return printMatrix(c.Context(), w, flags) },
	}
	flags.register(c, "table", "json", "csv")
	c.Flags().StringSliceVar(&flags.probes, "probe", nil,
		"`PROTOCOL/PORT` to probe, for example TCP/80,UDP/53 (default: every declared container port, else TCP/80)")
	choice(c, &flags.engine, "engine", "", "model", "tables", "kernel")
	return c
}

func printMatrix(ctx context.Context, w *world, flags matrixFlags) error {
	probes, err := parseProbes(flags.probes)
	if err != nil {
		return err
	}
	cluster, family, err := flags.load(ctx, w)
	if err != nil {
		return err
	}
	if len(cluster.Pods) == 0 {
		return errors.New("there are no pods in the input, so there is no matrix")
	}
	if probes == nil {
		probes = matrix.DefaultProbes(cluster)
	}
	matrices, err := computeMatrix(ctx, w, flags.engine, cluster, probes, family)
	if err != nil {
		return err
	}
	return matrixWriterOf(flags.output)(w.out, flags.engine, matrices)
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

func computeMatrix(ctx context.Context, w *world, name string, c *model.Cluster, probes []flow.PortProto,
	family flow.Family,
) (_ []matrix.Matrix, err error) {
	if name == "model" {
		return matrix.Compute(ctx, c, probes, family, matrix.Oracle(c)...)
	}
	e := w.engines[name]()
	defer func() {
		if cerr := e.Close(); err == nil && cerr != nil {
			err = failf("engine %s: close: %w", name, cerr)
		}
	}()
	err = e.Load(ctx, c)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("engine %s cannot run here: %w", name, err)
	}
	if err != nil {
		return nil, failf("engine %s: load: %w", name, err)
	}
	matrices, err := matrix.Compute(ctx, c, probes, family, judges(e)...)
	if err != nil {
		return nil, failf("engine %s: %w", name, err)
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
