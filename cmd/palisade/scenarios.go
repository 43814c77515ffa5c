package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
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

// loadScenarios reads one file, or all files below a folder. Files are named by the path they were found under.
func loadScenarios(path string) ([]run.Input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutOperation(err)
	}
	folder := path
	load := spec.LoadAll
	if !info.IsDir() {
		folder = filepath.Dir(filepath.Dir(filepath.Join(".", path)))
		load = func(fsys fs.FS) ([]*spec.Scenario, error) { return loadScenario(fsys, folder, path) }
	}
	scenarios, err := load(os.DirFS(folder))
	if err != nil {
		return nil, underFolder(err, folder)
	}
	var inputs []run.Input
	for _, s := range scenarios {
		inputs = append(inputs, run.Input{Scenario: s, File: filepath.Join(folder, s.Path())})
	}
	return inputs, nil
}

// loadScenario reads one file below folder.
func loadScenario(fsys fs.FS, folder, path string) ([]*spec.Scenario, error) {
	name, err := filepath.Rel(folder, path)
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(fsys, filepath.ToSlash(name))
	if err != nil {
		return nil, withoutOperation(err)
	}
	s, err := spec.Parse(filepath.ToSlash(name), data, fsys)
	return []*spec.Scenario{s}, err
}

// underFolder completes the file names of err.
func underFolder(err error, folder string) error {
	var all manifest.Errors
	if !errors.As(err, &all) {
		return err
	}
	var full manifest.Errors
	for _, e := range all {
		at := *e
		at.File = filepath.Join(folder, at.File)
		full = append(full, &at)
	}
	return full
}

// withoutOperation leaves the system call out of a file error, which nobody asked about.
func withoutOperation(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return err
}
