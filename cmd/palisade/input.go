package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
)

// input is what commands about manifests read.
type input struct {
	paths  []string
	family string
	output string
}

// register adds the flags of in to c; the first of formats is the default.
func (in *input) register(c *cobra.Command, formats ...string) {
	c.Flags().StringSliceVarP(&in.paths, "filename", "f", nil,
		"manifest `PATH`: a file, a directory, or - for standard input; may be repeated (required)")
	c.Flags().StringVar(&in.family, "family", "",
		"address family, ipv4 or ipv6 (default: the first of the source's that both ends have)")
	choice(c, &in.output, "output", "o", formats...)
	_ = c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions(
		[]string{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
}

// load reads the manifests and the family. Warnings go to standard error: what was skipped may matter.
func (in *input) load(w *world) (*model.Cluster, flow.Family, error) {
	family, err := flow.ParseFamily(in.family)
	if err != nil {
		return nil, 0, fmt.Errorf("--family: %w", err)
	}
	if len(in.paths) == 0 {
		return nil, 0, errors.New("nothing to read: give at least one -f PATH (- is standard input)")
	}
	result, err := manifest.Load(in.paths, manifest.Options{Stdin: w.in})
	if err != nil {
		return nil, 0, err
	}
	for _, warning := range result.Warnings {
		w.err.printf("palisade: warning: %v\n", warning)
	}
	return result.Cluster, family, nil
}
