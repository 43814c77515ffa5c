package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios"
)

func newScenariosSchema(w *world) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(w.out, scenarios.Schema())
			return err
		},
	}
}
