package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/cmd/palisade/live"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
)

// input is what commands about a cluster read: manifests or a running cluster.
type input struct {
	paths  []string
	live   live.Options
	family string
	output string
}

// register adds the flags of in to c; the first of formats is the default.
func (in *input) register(c *cobra.Command, formats ...string) {
	c.Flags().StringSliceVarP(&in.paths, "filename", "f", nil,
		"manifest `PATH`: a file, a directory, or - for standard input; may be repeated")
	c.Flags().StringVar(&in.live.Context, "context", "",
		"`NAME` of a kubeconfig context: read that running cluster instead of manifests; nothing is changed there")
	c.Flags().StringVar(&in.live.Kubeconfig, "kubeconfig", "",
		"`PATH` of a kubeconfig: read its current context, or that of --context (default: $KUBECONFIG, ~/.kube/config)")
	c.Flags().StringVar(&in.family, "family", "",
		"address family, ipv4 or ipv6 (default: the first of the source's that both ends have)")
	choice(c, &in.output, "output", "o", formats...)
	_ = c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions(
		[]string{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
}

// load reads the cluster and the family.
func (in *input) load(ctx context.Context, w *world) (*model.Cluster, flow.Family, error) {
	family, err := flow.ParseFamily(in.family)
	if err != nil {
		return nil, 0, fmt.Errorf("--family: %w", err)
	}
	running := in.live != live.Options{}
	switch {
	case running && len(in.paths) > 0:
		return nil, 0, errors.New("read manifests (-f) or a running cluster (--context, --kubeconfig), not both")
	case !running && len(in.paths) == 0:
		return nil, 0, errors.New("nothing to read: give at least one -f PATH (- is standard input), " +
			"or --context NAME to read a running cluster")
	}
	read := func() (*model.Cluster, error) { return loadManifests(w, in.paths) }
	if running {
		read = func() (*model.Cluster, error) { return loadLive(ctx, w, in.live) }
	}
	cluster, err := read()
	return cluster, family, err
}

// loadManifests prints warnings to standard error: what was skipped may matter.
func loadManifests(w *world, paths []string) (*model.Cluster, error) {
	result, err := manifest.Load(paths, manifest.Options{Stdin: w.in})
	if err != nil {
		return nil, err
	}
	for _, warning := range result.Warnings {
		w.err.printf("palisade: warning: %v\n", warning)
	}
	return result.Cluster, nil
}

func loadLive(ctx context.Context, w *world, o live.Options) (*model.Cluster, error) {
	reader, err := live.Connect(o)
	if err != nil {
		return nil, err
	}
	cluster, warnings, err := reader.Cluster(ctx)
	if err != nil {
		return nil, failure{err}
	}
	for _, warning := range warnings {
		w.err.printf("palisade: warning: %s\n", warning)
	}
	return cluster, nil
}
