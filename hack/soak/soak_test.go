package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

func TestRunCountsCells(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"-cells", "5000", "-seed", "7", "-out", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seed 7", "0 failures", "cells/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output does not say %q:\n%s", want, out.String())
		}
	}
}

// deaf is an engine that lets a protocol pass.
type deaf struct {
	engine.Engine
	protocol flow.Protocol
}

func (d deaf) Verdict(q model.Query) (flow.Verdict, error) {
	v, err := d.Engine.Verdict(q)
	if v == flow.Deny && q.Protocol == d.protocol {
		v = flow.Allow
	}
	return v, err
}

// TestDifferencesAreCutDown: an engine that ignores a protocol is found out, and what is written reads back as the
// smallest cluster that shows it.
func TestDifferencesAreCutDown(t *testing.T) {
	var out bytes.Buffer
	o := options{duration: time.Minute, seed: 11, failures: 1, out: t.TempDir()}
	s := &soak{options: o, stdout: &out, start: time.Now(), engines: []engine.Engine{deaf{engine.NewTables(), flow.SCTP}}}
	if err := s.run(t.Context()); !errors.Is(err, errDiffer) {
		t.Fatalf("got %v, want %v:\n%s", err, errDiffer, out.String())
	}
	dirs, err := filepath.Glob(filepath.Join(o.out, "soak-*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("reproductions %v, %v; want one:\n%s", dirs, err, out.String())
	}
	read, err := manifest.Load([]string{filepath.Join(dirs[0], "cluster.yaml")}, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := read.Cluster
	if len(c.Policies) != 1 || len(c.Pods) != 1 || len(c.Services) != 0 {
		t.Errorf("%d policies, %d pods and %d services are left, want one policy and its pod",
			len(c.Policies), len(c.Pods), len(c.Services))
	}
	text, err := os.ReadFile(filepath.Join(dirs[0], "difference.txt"))
	if err != nil || !strings.Contains(string(text), "SCTP/") {
		t.Errorf("difference.txt does not name the protocol: %s, %v", text, err)
	}
}

// TestShrinkFindsTheSmallest: of a large cluster nothing is left but what the property needs.
func TestShrinkFindsTheSmallest(t *testing.T) {
	named := func(c *model.Cluster) bool {
		for _, p := range c.Policies {
			for _, r := range p.Spec.Egress {
				for _, port := range r.Ports {
					if port.EndPort != nil {
						return true
					}
				}
			}
		}
		return false
	}
	for seed := range 200 {
		c := random.Example(seed)
		if !named(c) {
			continue
		}
		before, err := manifests(c)
		if err != nil {
			t.Fatal(err)
		}
		small := shrink(c, named)
		if len(small.Pods)+len(small.Nodes)+len(small.Namespaces)+len(small.Services) > 0 || len(small.Policies) != 1 {
			t.Errorf("seed %d: more than a policy is left", seed)
		}
		spec := small.Policies[0].Spec
		if len(spec.Ingress) > 0 || len(spec.Egress) != 1 || len(spec.Egress[0].To) > 0 || len(spec.Egress[0].Ports) != 1 {
			t.Errorf("seed %d: more than a port is left: %+v", seed, spec)
		}
		if after, err := manifests(c); err != nil || !bytes.Equal(before, after) {
			t.Errorf("seed %d: shrinking modified the cluster it began with (%v)", seed, err)
		}
	}
}

// TestSeedsGiveTheSameCluster: a seed is all it takes to repeat a failure.
func TestSeedsGiveTheSameCluster(t *testing.T) {
	seen := map[string]bool{}
	for seed := range 20 {
		first, err := manifests(random.Example(seed))
		if err != nil {
			t.Fatal(err)
		}
		second, err := manifests(random.Example(seed))
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("seed %d gives two clusters (%v)", seed, err)
		}
		seen[string(first)] = true
	}
	if len(seen) < 15 {
		t.Errorf("20 seeds give %d clusters", len(seen))
	}
}

func TestStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &soak{options: options{duration: time.Hour, seed: 1, failures: 1}, stdout: &bytes.Buffer{}, start: time.Now()}
	if err := s.run(ctx); err != nil || s.clusters != 0 {
		t.Errorf("%d clusters after the end, %v", s.clusters, err)
	}
}
