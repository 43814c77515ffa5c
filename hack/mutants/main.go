// Command mutants plants bugs — each one a mistake that some implementation of NetworkPolicy has made, or could — one at a
// time into a copy of the tree, and runs the tests that should notice. A bug that survives is a missing test; a patch that
// no longer applies is a bug that nobody looks for any more. Both fail the command. The tree itself is never touched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/hack/command"
)

func main() {
	command.Main("mutants", func(ctx context.Context, s command.Streams, args []string) error { return run(ctx, s.Out, args) })
}

type options struct {
	tree  string
	match *regexp.Regexp // of names
	skipC bool
	list  bool
	limit time.Duration // for one run of tests
}

func parse(args []string) (options, error) {
	o := options{match: regexp.MustCompile("")}
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.StringVar(&o.tree, "tree", ".", "the tree that is copied")
	flags.Func("run", "plant only bugs whose name matches a regular expression", func(s string) (err error) {
		o.match, err = regexp.Compile(s)
		return err
	})
	flags.BoolVar(&o.skipC, "skip-c", false, "leave out bugs in C, which need clang and root")
	flags.BoolVar(&o.list, "list", false, "list the bugs and plant none")
	flags.DurationVar(&o.limit, "limit", time.Minute, "how long the tests of a package may take")
	return o, command.Parse(flags, args)
}

func run(ctx context.Context, stdout io.Writer, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	chosen := choose(allMutants(), o)
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(stdout, "%-40s %s: %s\n", m.Name, m.File, m.Why)
		}
		return nil
	}
	if err := needed(chosen); err != nil {
		return err
	}
	c, err := newCopy(ctx, o.tree)
	if err != nil {
		return fmt.Errorf("copy the tree: %w", err)
	}
	l := lab{copy: c, stdout: stdout, limit: o.limit}
	return errors.Join(l.run(ctx, chosen), c.remove())
}

func choose(all []Mutant, o options) []Mutant {
	return slices.DeleteFunc(all, func(m Mutant) bool { return o.skipC && m.isC() || !o.match.MatchString(m.Name) })
}

// needed says what is missing for bugs in C: without clang they cannot be planted, and without root nobody runs them.
func needed(chosen []Mutant) error {
	if !slices.ContainsFunc(chosen, Mutant.isC) {
		return nil
	}
	_, err := exec.LookPath("clang")
	if err != nil || os.Geteuid() != 0 {
		return errors.New("bugs in C need clang to be planted and root to be noticed; -skip-c leaves them out")
	}
	return nil
}
