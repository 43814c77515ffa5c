// Command palisade-agent enforces NetworkPolicies on one node: it watches PolicyEndpoints on the API server and makes
// the kernel filter the traffic of the node's pods. It runs in the node's network namespace as root, and needs no more
// than the capabilities CAP_BPF and CAP_NET_ADMIN and a BPF file system to pin in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/palisade-netpol/palisade/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "palisade-agent:", err)
		os.Exit(1)
	}
}

// run reads the flags and runs the agent until ctx is done. Denials go to out, where they are asked for, all else to errs.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) error {
	f, err := parseFlags(args, getenv, errs)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(errs, &slog.HandlerOptions{Level: f.level}))
	o, err := f.options(log)
	if err != nil {
		return err
	}
	if f.flowLog != "denied" {
		return agent.Run(ctx, o)
	}
	var done func() error
	if o.FlowLog, done, err = f.openFlowLog(out); err != nil {
		return err
	}
	return errors.Join(agent.Run(ctx, o), done())
}
