// Command cluster keeps one cluster of package hack/cluster running in the background, to try things out:
//
//	go run ./hack/cluster/cmd/cluster up
//	eval "$(go run ./hack/cluster/cmd/cluster env)"
//	kubectl get namespaces
//	go run ./hack/cluster/cmd/cluster down
//
// With "up -nodes 3", which needs root, it has nodes too: network namespaces that reach each other, each with a Node object
// and a real kube-proxy. "status" says how to enter them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/command"
)

const usage = `usage: cluster COMMAND [FLAG…]

  up      start a cluster in the background, unless one runs ("up -h" lists its flags)
  down    stop it and remove its state
  status  say whether it runs and where
  env     print shell commands that make kubectl use it
  build   find or build the programs and print their directory ("-node": with kubelet and kubeadm)
`

func main() { command.Main("cluster", run) }

func run(ctx context.Context, s command.Streams, args []string) error {
	instance, err := openInstance()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		fmt.Fprint(s.Err, usage)
		return command.ErrUsage
	}
	switch args[0] {
	case "up":
		return up(ctx, s, instance, args[1:])
	case "down":
		return down(s, instance)
	case "status":
		return status(s, instance)
	case "env":
		return env(s, instance)
	case "build":
		return build(ctx, s, args[1:])
	}
	fmt.Fprint(s.Err, usage)
	return command.ErrUsage
}

// down asks the owner to stop the cluster and returns when it has.
func down(s command.Streams, i instance) error {
	owner, err := i.owner()
	if err != nil {
		return err
	}
	if owner == 0 {
		fmt.Fprintln(s.Err, "no cluster runs")
		return nil
	}
	if err := unix.Kill(owner, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop process %d: %w", owner, err)
	}
	return i.awaitRelease()
}

func status(s command.Streams, i instance) error {
	state, err := i.running()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "running: Kubernetes %s at %s, process %d\nkubeconfig: %s\nlogs: %s\n",
		state.Version, state.URL, state.PID, state.Kubeconfig, state.Dir)
	for _, n := range state.Nodes {
		fmt.Fprintf(s.Out, "node %s at %s: nsenter --net=%s\n", n.Name, n.Addresses, n.NetNS)
	}
	return nil
}

func env(s command.Streams, i instance) error {
	state, err := i.running()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "export KUBECONFIG=%s\nexport PATH=%s:\"$PATH\"\n", quote(state.Kubeconfig), quote(state.BinDir))
	return nil
}

// build makes sure that there are programs, so that what comes later need not wait.
func build(ctx context.Context, s command.Streams, args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(s.Err)
	node := flags.Bool("node", false, "with kubelet and kubeadm")
	if err := command.Parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(s.Err, "build takes no arguments, got %q\n", flags.Args())
		return command.ErrUsage
	}
	binaries, err := cluster.Find(ctx, cluster.FindOptions{Node: *node, Build: true, Progress: s.Err})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out, binaries.Dir)
	return nil
}
