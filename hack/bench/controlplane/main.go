// Command controlplane measures controller and agent as they run in production: processes of their own, with the
// shipped rights, at a real etcd and API server.
//
//   - latency: how long after the API server answered to the write of a policy the kernel enforces it, by packets.
//   - scale: what many policies and pods cost in time, memory, writes and bytes.
//
// It needs root (network namespaces, eBPF) and the Kubernetes programs of package hack/cluster, is run from the root
// of the repository, and builds the two programs unless it is told where they are. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/command"
)

func main() {
	command.Main("controlplane", func(ctx context.Context, s command.Streams, args []string) error { return run(ctx, s.Out, args) })
}

// options say how much to measure.
type options struct {
	bin     string // where the programs are; empty: build them
	changes int    // of one policy, for latency; 0: no latency run
	size    size   // of the cluster of the scale run; no policies: no scale run
	replace int    // pods
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "", "`directory` of palisade-controller and palisade-agent; by default they are built")
	f.IntVar(&o.changes, "changes", 400, "policy changes of the latency run, every other one opens; 0 for no latency run")
	f.IntVar(&o.size.policies, "policies", 1000, "policies of the scale run; 0 for no scale run")
	f.IntVar(&o.size.pods, "pods", 10000, "pods of the scale run")
	f.IntVar(&o.size.nodes, "nodes", 100, "nodes of the scale run")
	f.IntVar(&o.replace, "replacements", 100, "pods that the scale run replaces, one after another")
	if err := command.Parse(f, args); err != nil {
		return options{}, err
	}
	if o.size.policies == 0 {
		return o, nil
	}
	return o, o.size.validate()
}

func run(ctx context.Context, out io.Writer, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if reason := lacking(ctx); reason != "" {
		fmt.Fprintln(out, "control plane: skipped,", reason)
		return nil
	}
	bin, err := programs(ctx, o.bin)
	if err != nil {
		return err
	}
	return errors.Join(o.measure(ctx, out, bin), bin.remove())
}

func (o options) measure(ctx context.Context, out io.Writer, bin binaries) error {
	if o.changes > 0 {
		if err := runLatency(ctx, out, bin, o.changes); err != nil {
			return fmt.Errorf("latency: %w", err)
		}
	}
	if o.size.policies > 0 {
		if err := runScale(ctx, out, bin, o.size, o.replace); err != nil {
			return fmt.Errorf("scale: %w", err)
		}
	}
	return nil
}

// lacking says what keeps this machine from measuring, "" if nothing does.
func lacking(ctx context.Context) string {
	if os.Geteuid() != 0 {
		return "because it needs root for network namespaces and eBPF."
	}
	if _, err := cluster.Find(ctx, cluster.FindOptions{}); err != nil {
		return "because Kubernetes is not built; " +
			"`go run ./hack/cluster/cmd/cluster build` does it once, in about ten minutes."
	}
	return ""
}

// load is the load average, for those who read the tables later.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
