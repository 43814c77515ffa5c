package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

func newScenariosList(w *world) *cobra.Command {
	var s selection
	var output string
	c := &cobra.Command{
		Use:   "list [PATH...]",
		Short: "List scenarios",
		RunE: func(_ *cobra.Command, args []string) error {
			s.paths = orDefault(args)
			inputs, err := s.load()
			if err != nil {
				return err
			}
			if output == "json" {
				return listJSON(w.out, inputs)
			}
			return listTable(w.out, inputs)
		},
	}
	s.register(c)
	choice(c, &output, "output", "o", "table", "json")
	return c
}

// orDefault returns the paths of the command line, or the folder of this project's scenarios.
func orDefault(paths []string) []string {
	if len(paths) == 0 {
		return []string{defaultScenarios}
	}
	return paths
}

func listTable(t terminal, inputs []run.Input) error {
	tw := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "NAME\tSTEPS\tTOPICS\tFILE") // errors are kept for Flush
	for _, in := range inputs {
		_, _ = fmt.Fprintf(tw, "%s\t%d\t%s\t%s\n",
			in.Scenario.Metadata.Name, len(in.Scenario.Steps), strings.Join(in.Scenario.Topics(), ","), in.File)
	}
	return tw.Flush()
}

func listJSON(t terminal, inputs []run.Input) error {
	type item struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Topics      []string `json:"topics"`
		Steps       []string `json:"steps"`
		File        string   `json:"file"`
	}
	items := []item{}
	for _, in := range inputs {
		s := in.Scenario
		one := item{Name: s.Metadata.Name, Description: s.Description, Topics: s.Topics(), File: in.File}
		for _, step := range s.Steps {
			one.Steps = append(one.Steps, step.Name)
		}
		items = append(items, one)
	}
	return writeJSON(t, items)
}
