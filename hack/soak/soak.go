package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/sim/agree"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// errDiffer says that the engines are not of one opinion.
var errDiffer = errors.New("the engines differ")

// soak is one run and what it has seen so far.
type soak struct {
	options
	stdout   io.Writer
	engines  []engine.Engine
	start    time.Time
	reported time.Time
	clusters int
	count    agree.Count
	failed   int
}

func newSoak(ctx context.Context, stdout io.Writer, o options) (*soak, error) {
	s := &soak{options: o, stdout: stdout, engines: []engine.Engine{engine.NewTables()}, start: time.Now()}
	kernel := engine.NewKernel()
	if os.Geteuid() == 0 {
		s.engines = append(s.engines, kernel)
	} else {
		fmt.Fprintln(stdout, "not root: the kernel is not asked")
	}
	names := []string{"model"}
	for _, e := range s.engines {
		names = append(names, e.Name())
	}
	fmt.Fprintf(stdout, "%s; seed %d, for %s\n", strings.Join(names, " = "), o.seed, o.duration)
	return s, ctx.Err()
}

func (s *soak) run(ctx context.Context) error {
	probes := random.Probes()
	for seed := s.seed; !s.done() && ctx.Err() == nil; seed++ {
		c := random.Example(seed)
		count, err := agree.Compare(ctx, c, s.engines, random.Queries(c, probes))
		s.clusters++
		s.count.Add(count)
		if err != nil {
			if err := s.fail(ctx, seed, c, err); err != nil {
				return err
			}
		}
		s.progress()
	}
	s.summary()
	if s.failed > 0 {
		return fmt.Errorf("%w in %d of %d clusters", errDiffer, s.failed, s.clusters)
	}
	return nil
}

func (s *soak) done() bool {
	return time.Since(s.start) >= s.duration || s.cells > 0 && s.count.Cells >= s.cells || s.failed >= s.failures
}

// fail reports what is wrong with a cluster, with the smallest one that shows it. The error is about writing it down.
func (s *soak) fail(ctx context.Context, seed int, c *model.Cluster, found error) error {
	s.failed++
	fmt.Fprintf(s.stdout, "seed %d: %v\n", seed, found)
	small, found := s.shrink(ctx, c, found)
	dir := filepath.Join(s.out, fmt.Sprintf("soak-%d", seed))
	if err := write(dir, small, found); err != nil {
		return fmt.Errorf("write reproduction: %w", err)
	}
	fmt.Fprintf(s.stdout, "seed %d: cut down to %d pods and %d policies in %s\n", seed, len(small.Pods), len(small.Policies), dir)
	return nil
}

// shrink returns the smallest cluster that it can find about which the engines differ, and on what.
func (s *soak) shrink(ctx context.Context, c *model.Cluster, found error) (*model.Cluster, error) {
	small := shrink(c, func(c *model.Cluster) bool {
		_, err := agree.Compare(ctx, c, s.engines, random.Queries(c, random.Probes()))
		if err != nil {
			found = err
		}
		return err != nil
	})
	return small, found
}

// progress prints a line every ten seconds.
func (s *soak) progress() {
	if time.Since(s.reported) >= 10*time.Second {
		s.reported = time.Now()
		s.summary()
	}
}

func (s *soak) summary() {
	elapsed := time.Since(s.start)
	fmt.Fprintf(s.stdout, "%6.1fs  %d clusters, %d cells (%d of them left open by the API), %.0f cells/s, %d failures; seed %d\n",
		elapsed.Seconds(), s.clusters, s.count.Cells, s.count.Undefined, float64(s.count.Cells)/elapsed.Seconds(), s.failed, s.seed)
}

func (s *soak) close() error {
	var errs []error
	for _, e := range s.engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
