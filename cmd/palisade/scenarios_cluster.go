package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
)

// clusterFlags say which cluster scenarios are replayed on, and how.
type clusterFlags struct {
	kubeconfig, context string
	prefix              string
	image               string
	settle              time.Duration
	looks               int
}

// probeImage is the probe image of a version of the command: that of a release, or the one that is built beside it.
func probeImage(info *debug.BuildInfo) string {
	tag := "dev"
	if info != nil && strings.HasPrefix(info.Main.Version, "v") && !strings.ContainsAny(info.Main.Version, "-+") {
		tag = info.Main.Version
	}
	return "ghcr.io/palisade-netpol/palisade-probe:" + tag
}

func (f *clusterFlags) register(c *cobra.Command) {
	flags := c.Flags()
	info, _ := debug.ReadBuildInfo()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "`PATH` of a kubeconfig, for --backend cluster")
	flags.StringVar(&f.context, "context", "", "`NAME` of a context of the kubeconfig")
	flags.StringVar(&f.prefix, "namespace-prefix", "palisade-run", "`PREFIX` of the namespaces that are made in the cluster")
	flags.StringVar(&f.image, "probe-image", probeImage(info), "`IMAGE` that pods of scenarios run in the cluster")
	flags.DurationVar(&f.settle, "settle", 30*time.Second, "how long the cluster may take to enforce a change")
	flags.IntVar(&f.looks, "looks", 3, "how many times in a row every connection in the cluster must be as expected")
}

// names are the flags that mean nothing to other backends.
func (*clusterFlags) names() []string {
	return []string{"kubeconfig", "context", "namespace-prefix", "probe-image", "settle", "looks"}
}

// check refuses flags that another backend would ignore.
func (f *clusterFlags) check(c *cobra.Command, backend string) error {
	for _, name := range f.names() {
		if c.Flags().Changed(name) && backend != "cluster" && backend != "kind" {
			return fmt.Errorf("--%s is a flag of the backends cluster and kind", name)
		}
	}
	if backend == "cluster" && f.kubeconfig == "" && f.context == "" {
		return errors.New("backend cluster needs --kubeconfig or --context: it makes namespaces and pods there")
	}
	return nil
}

// add adds the cluster that the flags name to the backends that are always there, if it is asked for.
func (f *clusterFlags) add(name string, w *world) ([]backend.Backend, error) {
	if name != "cluster" {
		return w.backends, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	b, err := cluster.New(cluster.Options{Config: config, Image: f.image, Prefix: f.prefix})
	if err != nil {
		return nil, err
	}
	return append([]backend.Backend{b}, w.backends...), nil
}
