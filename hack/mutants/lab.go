package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mutant is a planted bug.
type Mutant struct {
	Name  string
	Why   string   // what goes wrong with it, or whom it happened to
	File  string   // where, from the root of the tree
	Old   string   // text that occurs once in File…
	New   string   // … and what takes its place
	Tests []string // that should notice, the fastest first: "directory" or "directory:REGEXP"
}

func (m Mutant) isC() bool { return strings.HasSuffix(m.File, ".c") || strings.HasSuffix(m.File, ".h") }

// lab plants bugs and watches tests.
type lab struct {
	copy   *treeCopy
	stdout io.Writer
	limit  time.Duration
}

// finding is what became of a planted bug.
type finding struct {
	Mutant
	caughtBy string // "directory TestName"; empty: it survives
	after    time.Duration
	err      error // it could not be planted, or the tests could not run
}

// errSurvived says that not every bug was caught.
var errSurvived = errors.New("not every planted bug was caught")

func (l *lab) run(ctx context.Context, mutants []Mutant) error {
	if err := l.baseline(ctx, mutants); err != nil {
		return err
	}
	var findings []finding
	for _, m := range mutants {
		f := l.try(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		findings = append(findings, f)
		fmt.Fprintln(l.stdout, f)
	}
	fmt.Fprintln(l.stdout, summary(findings))
	if slices.ContainsFunc(findings, func(f finding) bool { return f.caughtBy == "" }) {
		return errSurvived
	}
	return nil
}

// baseline runs the tests of all mutants without any bug: what fails now would prove nothing later. It also compiles
// everything once, so that what is measured later is the time of who has just changed one file.
func (l *lab) baseline(ctx context.Context, mutants []Mutant) error {
	start := time.Now()
	for _, test := range together(mutants) {
		if failed, out, err := l.test(ctx, test); err != nil || failed != "" {
			return errors.Join(fmt.Errorf("%s fails without any bug:\n%s", test, out), err)
		}
	}
	fmt.Fprintf(l.stdout, "without a bug all tests pass (%.0fs)\n", time.Since(start).Seconds())
	return nil
}

// together returns the tests of all mutants, one entry for each directory.
func together(mutants []Mutant) []string {
	patterns := map[string][]string{}
	for _, m := range mutants {
		for _, test := range m.Tests {
			dir, pattern, _ := strings.Cut(test, ":")
			patterns[dir] = append(patterns[dir], pattern)
		}
	}
	var all []string
	for _, dir := range slices.Sorted(maps.Keys(patterns)) {
		list := slices.Compact(slices.Sorted(slices.Values(patterns[dir])))
		if list[0] == "" {
			list = nil // one asks for all
		}
		all = append(all, dir+":"+strings.Join(list, "|"))
	}
	return all
}

// try plants one bug.
func (l *lab) try(ctx context.Context, m Mutant) (f finding) {
	f.Mutant = m
	restore, err := l.copy.plant(ctx, m)
	if err != nil {
		f.err = err
		return f
	}
	defer func() { f.err = errors.Join(f.err, restore()) }()
	start := time.Now()
	for _, test := range m.Tests {
		f.caughtBy, _, f.err = l.test(ctx, test)
		if f.caughtBy != "" || f.err != nil {
			break
		}
	}
	f.after = time.Since(start)
	return f
}

// test runs "directory" or "directory:REGEXP" in the copy. failed names the test that fails, if one does; tests that take
// too long fail. The error says that nothing was run.
func (l *lab) test(ctx context.Context, spec string) (failed string, output []byte, err error) {
	dir, pattern, _ := strings.Cut(spec, ":")
	ctx, cancel := context.WithTimeout(ctx, 3*l.limit) // compiling included
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-failfast", "-count=1", "-trimpath", "-ldflags=-s -w",
		"-timeout", l.limit.String(), "-run", pattern, "./"+dir)
	cmd.Dir = l.copy.dir
	cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=true", "RAPID_SHRINKTIME=0s") // that it fails is enough
	cmd.WaitDelay = time.Second
	output, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", output, nil
	case !errors.As(err, &exit):
		return "", output, err
	case strings.Contains(string(output), "[build failed]"), strings.Contains(string(output), "[setup failed]"):
		return "", output, fmt.Errorf("does not compile: %s", firstLines(output, 4))
	}
	return dir + " " + nameOf(output), output, nil
}

// nameOf returns the first test that failed according to the output of go test.
func nameOf(output []byte) string {
	var deepest string
	for _, m := range regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`).FindAllSubmatch(output, -1) {
		if name := string(m[1]); strings.HasPrefix(name, deepest) {
			deepest = name
		}
	}
	switch {
	case deepest != "":
		return deepest
	case strings.Contains(string(output), "panic: test timed out"):
		return "(time-out)"
	case strings.Contains(string(output), "panic:"):
		return "(panic)"
	}
	return "(fails)"
}

func firstLines(text []byte, n int) string {
	lines := strings.SplitAfterN(string(text), "\n", n+1)
	return strings.TrimSpace(strings.Join(lines[:min(n, len(lines))], ""))
}

// String is a line of the table.
func (f finding) String() string {
	switch {
	case f.err != nil:
		return fmt.Sprintf("BROKEN   %-44s %s: %v", f.Name, f.File, f.err)
	case f.caughtBy == "":
		return fmt.Sprintf("SURVIVES %-44s %s: %s", f.Name, f.File, f.Why)
	}
	return fmt.Sprintf("caught   %-44s %5.1fs  %s", f.Name, f.after.Seconds(), f.caughtBy)
}

// summary counts, and gives the median of the times to detection.
func summary(findings []finding) string {
	var times []time.Duration
	for _, f := range findings {
		if f.caughtBy != "" {
			times = append(times, f.after)
		}
	}
	slices.Sort(times)
	var median time.Duration
	if len(times) > 0 {
		median = times[len(times)/2]
	}
	return fmt.Sprintf("%d of %d bugs caught, median time to detection %.1fs", len(times), len(findings), median.Seconds())
}
