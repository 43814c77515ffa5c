package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// execute runs one command line, args[0] being the name the program was called by, and returns its exit code.
func execute(ctx context.Context, w *world, args []string) int {
	root := newRoot(w, filepath.Base(args[0]))
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	code := exitCode(ctx, err)
	switch {
	case code == exitInterrupted:
		w.err.printf("palisade: interrupted\n")
	case err != nil:
		w.err.printf("palisade: %v\n", err)
	}
	return code
}

func newRoot(w *world, calledAs string) *cobra.Command {
	root := &cobra.Command{
		Use:   "palisade",
		Short: "What NetworkPolicies mean, and proof that they are enforced",
		Long: `Palisade enforces Kubernetes NetworkPolicies with eBPF and proves that it does.

This command reads manifests or a running cluster, and never changes one. Start with:

  palisade matrix -f app.yaml                          who may connect to whom
  palisade why -f app.yaml shop/web shop/db TCP/5432   and why

Exit codes: 0 all is well, 1 something differs or failed, 2 the input or the command line is wrong (nothing was
applied), 130 interrupted.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	if strings.HasPrefix(calledAs, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl palisade"}
	}
	root.SetIn(w.in)
	root.SetOut(w.out)
	root.SetErr(w.err)
	root.AddCommand(newMatrix(w), newWhy(w), newScenarios(w), newCheck(w), newVersion(w))
	return root
}
