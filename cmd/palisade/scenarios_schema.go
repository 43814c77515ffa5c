package main

import (
	"github.com/spf13/cobra"
)

func newScenariosSchema(w *world) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := w.out.Write(nil)
			return err
		},
	}
}
