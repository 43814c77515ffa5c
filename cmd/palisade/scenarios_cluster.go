package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
	"github.com/palisade-netpol/palisade/scenarios/backend/kind"
)

// clusterFlags say which cluster scenarios are replayed on, and how.
type clusterFlags struct {
	kubeconfig, context string
	prefix              string
	image               string
	fresh               bool
	settle              time.Duration
	looks               int
	kind                kind.Options
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
	choice(c, &f.kind.IPFamily, "ip-family", "", "ipv4", "ipv6", "dual")
	flags.IntVar(&f.kind.Workers, "workers", 2, "nodes beside the control plane of the cluster that backend kind makes")
	flags.StringVar(&f.kind.Name, "cluster-name", "", "`NAME` of the cluster that backend kind makes (default: palisade-scenarios)")
	flags.BoolVar(&f.kind.Keep, "keep-cluster", false, "leave the cluster that backend kind makes, to look into")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "`PATH` of a kubeconfig, for --backend cluster")
	flags.StringVar(&f.context, "context", "", "`NAME` of a context of the kubeconfig")
	flags.StringVar(&f.prefix, "namespace-prefix", "palisade-run", "`PREFIX` of the namespaces made in the cluster")
	flags.StringVar(&f.image, "probe-image", probeImage(info), "`IMAGE` that pods of scenarios run in the cluster")
	flags.BoolVar(&f.fresh, "fresh-pods", false, "make pods anew for every scenario, also where those of an earlier one would do")
	flags.DurationVar(&f.settle, "settle", 30*time.Second, "how long the cluster may take to enforce a change")
	flags.IntVar(&f.looks, "looks", 3, "how many times in a row every connection in the cluster must be as expected")
}

// meaning lists flags and the backends that they mean something to.
type meaning struct{ flags, backends []string }

func meanings() []meaning {
	return []meaning{
		{[]string{"kubeconfig", "context"}, []string{"cluster"}},
		{[]string{"ip-family", "workers", "cluster-name", "keep-cluster"}, []string{"kind"}},
		{[]string{"namespace-prefix", "probe-image", "fresh-pods", "settle", "looks"}, []string{"cluster", "kind"}},
	}
}

// check refuses flags that another backend would ignore.
func (f *clusterFlags) check(c *cobra.Command, backend string) error {
	for _, m := range meanings() {
		for _, name := range m.flags {
			if c.Flags().Changed(name) && !slices.Contains(m.backends, backend) {
				return fmt.Errorf("--%s is a flag of backend %s", name, strings.Join(m.backends, " and "))
			}
		}
	}
	if backend == "cluster" && f.kubeconfig == "" && f.context == "" {
		return errors.New("backend cluster needs --kubeconfig or --context: it makes namespaces and pods there")
	}
	return nil
}

// add adds the backend that the flags describe to those that are always there, if it is asked for.
func (f *clusterFlags) add(name string, w *world) ([]backend.Backend, error) {
	options := cluster.Options{Image: f.image, Prefix: f.prefix, Fresh: f.fresh}
	switch name {
	case "kind":
		f.kind.Cluster, f.kind.Log = options, w.err
		return append([]backend.Backend{kind.New(f.kind)}, w.backends...), nil
	case "cluster":
		b, err := f.connect(options)
		return append([]backend.Backend{b}, w.backends...), err
	}
	return w.backends, nil
}

// connect returns the backend of the cluster that a kubeconfig leads to.
func (f *clusterFlags) connect(o cluster.Options) (backend.Backend, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	o.Config = config
	return cluster.New(o)
}
