// Package clustertest starts clusters for tests.
package clustertest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/hack/cluster"
)

// BuildEnv is the environment variable that, set to anything, lets tests build Kubernetes where it is not cached.
const BuildEnv = "PALISADE_BUILD_K8S"

// startTimeout is generous, for machines busy with other tests.
const startTimeout = 2 * time.Minute

// Start starts a cluster that lives until the end of the test, which fails if it cannot be started or stopped. The test
// is skipped where the programs would have to be built and BuildEnv is not set. If the test fails, it logs the ends of
// the cluster's logs.
func Start(tb testing.TB, options cluster.Options) *cluster.Cluster {
	tb.Helper()
	options.BinDir = Binaries(tb, options.BinDir).Dir
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	c, err := cluster.Start(ctx, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(c.LogTails())
		}
		if err := c.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// Binaries returns the programs, from dir unless that is empty. It skips the test where they would have to be built and
// BuildEnv is not set.
func Binaries(tb testing.TB, dir string) cluster.Binaries {
	tb.Helper()
	b, err := cluster.Find(tb.Context(), cluster.FindOptions{
		Dir:      dir,
		Build:    os.Getenv(BuildEnv) != "",
		Progress: os.Stderr,
	})
	if errors.Is(err, cluster.ErrNotBuilt) {
		tb.Skipf("%v; set %s=1 to build them once, in about ten minutes", err, BuildEnv)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
