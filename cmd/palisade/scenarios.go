package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

func newScenarios(w *world) *cobra.Command {
	c := &cobra.Command{
		Use:   "scenarios",
		Short: "Replay scenarios and compare what happens with what must happen",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newScenariosRun(w), newScenariosList(w), newScenariosSchema(w))
	return c
}

// selection says which scenarios a command is about.
type selection struct {
	paths   []string
	pattern string
}

const defaultScenarios = "scenarios"

func (s *selection) register(c *cobra.Command) {
	c.Flags().StringVar(&s.pattern, "run", "",
		"only scenarios whose file or name matches this regular expression (`PATTERN`)")
}

// load reads and checks all scenarios below the paths, and returns those that were asked for.
func (s *selection) load() ([]run.Input, error) {
	pattern, err := regexp.Compile(s.pattern)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	var selected []run.Input
	for _, path := range s.paths {
		inputs, err := loadScenarios(path)
		if err != nil {
			return nil, err
		}
		for _, in := range inputs {
			if pattern.MatchString(in.File) || pattern.MatchString(in.Scenario.Metadata.Name) {
				selected = append(selected, in)
			}
		}
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("no scenario in %s matches %q", strings.Join(s.paths, ", "), s.pattern)
	}
	return selected, nil
}

// loadScenarios reads one file, or all files below a folder.
func loadScenarios(path string) ([]run.Input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutOperation(err)
	}
	tree, err := newTree(path, info.IsDir())
	if err != nil {
		return nil, err
	}
	scenarios, err := tree.load()
	if err != nil {
		return nil, tree.located(err)
	}
	var inputs []run.Input
	for _, s := range scenarios {
		inputs = append(inputs, run.Input{Scenario: s, File: tree.path(s.Path())})
	}
	return inputs, nil
}

// withoutOperation leaves the system call out of a file error, which nobody asked about.
func withoutOperation(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return err
}
