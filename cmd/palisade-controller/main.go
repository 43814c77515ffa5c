// Command palisade-controller turns NetworkPolicies into PolicyEndpoints for the agents on the nodes.
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

	"k8s.io/klog/v2"

	"github.com/palisade-netpol/palisade/controller/publish"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run reads flags, publishes until ctx is done and returns the exit code. Logs and messages go to out.
func run(ctx context.Context, args []string, out io.Writer) int {
	s, err := parse(args, out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: s.level}))
	klog.SetSlogLogger(log) // what client-go says
	o, err := s.options()
	if err != nil {
		fmt.Fprintln(out, err)
		return exitUsage
	}
	o.Log = log
	if err := publish.Run(ctx, o); err != nil {
		log.Error("ended", "err", err)
		return exitFailed
	}
	return 0
}
