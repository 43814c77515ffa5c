// Command kind makes and removes the clusters of package hack/kind:
//
//	go run ./hack/kind/cmd/kind up
//	go run ./hack/kind/cmd/kind load out/images/palisade-agent.tar
//	export KUBECONFIG=$(go run ./hack/kind/cmd/kind kubeconfig)
//	go run ./hack/kind/cmd/kind down
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/palisade-netpol/palisade/hack/command"
	"github.com/palisade-netpol/palisade/hack/kind"
)

const usage = `usage: kind COMMAND [FLAG…] [ARGUMENT…]

  up          make a cluster; --workers 2, --ip-family ipv4, ipv6 or dual; --keep-failed
  load FILE…  give images, as OCI or Docker archives, to all nodes
  kubeconfig  print the path of the file for kubectl
  check       print what this machine lacks to run a cluster, a line each; nothing where it can; --workers 2
  outside N   make a host outside the cluster, on the nodes' network, and print its addresses
  probe N ARG…  run palisade-probe with these arguments on that host
  down        remove the cluster and, after the last one, the Docker daemon that was started for it

Every command takes --name NAME; without, the cluster is called palisade.
`

func main() { command.Main("kind", run) }

// call is a command line that was read.
type call struct {
	command string
	options kind.Options
	number  int      // of a host outside
	files   []string // or, of probe, arguments
}

func run(ctx context.Context, s command.Streams, args []string) error {
	c, err := parse(args, s.Err)
	if err != nil {
		return err
	}
	switch c.command {
	case "up":
		_, err := kind.Up(ctx, c.options)
		return err
	case "down":
		return kind.Down(ctx, c.options.Name)
	case "load":
		return load(ctx, c)
	case "check":
		missing, err := kind.Missing(ctx, c.options.Workers, s.Err)
		for _, line := range missing {
			fmt.Fprintln(s.Out, line)
		}
		return err
	}
	cluster, err := kind.Open(ctx, c.options.Name)
	if err != nil {
		return err
	}
	switch c.command {
	case "outside":
		addrs, err := cluster.Outside(ctx, c.number)
		for _, a := range addrs {
			fmt.Fprintln(s.Out, a)
		}
		return err
	case "probe":
		return cluster.Probe(ctx, c.number, c.files, os.Stdin, s.Out, s.Err)
	}
	fmt.Fprintln(s.Out, cluster.Kubeconfig())
	return nil
}

// parse reads the command line. It has written to out what is wrong with it.
func parse(args []string, out io.Writer) (call, error) {
	if len(args) == 0 {
		fmt.Fprint(out, usage)
		return call{}, command.ErrUsage
	}
	c := call{command: args[0], options: kind.Options{Log: out}}
	f := flag.NewFlagSet(c.command, flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() { fmt.Fprint(out, usage) }
	f.StringVar(&c.options.Name, "name", "", "")
	switch c.command {
	case "up":
		f.IntVar(&c.options.Workers, "workers", 2, "")
		f.StringVar((*string)(&c.options.IPFamily), "ip-family", "ipv4", "")
		f.BoolVar(&c.options.KeepFailed, "keep-failed", false, "")
	case "check":
		f.IntVar(&c.options.Workers, "workers", 2, "")
	case "down", "load", "kubeconfig", "outside", "probe":
	default:
		fmt.Fprint(out, usage)
		return call{}, command.ErrUsage
	}
	if err := command.Parse(f, args[1:]); err != nil {
		return call{}, err
	}
	c.files = f.Args()
	if c.command == "outside" || c.command == "probe" {
		number, err := strconv.Atoi(f.Arg(0))
		if err != nil || number < 0 {
			fmt.Fprint(out, usage)
			return call{}, command.ErrUsage
		}
		c.number, c.files = number, c.files[1:]
	}
	if (c.command == "load" || c.command == "probe") != (len(c.files) > 0) {
		fmt.Fprint(out, usage)
		return call{}, command.ErrUsage
	}
	return c, nil
}

func load(ctx context.Context, c call) error {
	cluster, err := kind.Open(ctx, c.options.Name)
	if err != nil {
		return err
	}
	for _, file := range c.files {
		if err := cluster.LoadArchive(ctx, file); err != nil {
			return err
		}
	}
	return nil
}
