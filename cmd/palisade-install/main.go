// Command palisade-install does on a node what must be done once: before the agent runs there, and after it has gone. It
// is in the agent's image, which has no shell. Each of its commands can be repeated, and does one thing:
//
//	mount-bpffs  mounts a BPF file system where there is none yet
//	cni          copies the CNI plugin, and appends it to the node's network configuration, or keeps up with its changes
//	remove       takes the configuration with the plugin, the filters on all interfaces and all pins off the node
//	wait         waits for a signal, so that a DaemonSet shows where the commands before it have been carried out
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errUsage means that the caller was told how to call.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(exitUsage)
	default:
		fmt.Fprintln(os.Stderr, "palisade-install:", err)
		os.Exit(exitFailed)
	}
}

// command is one of the words: it reads its flags and does its work, telling out what it did.
type command func(ctx context.Context, args []string, out io.Writer) error

func commands() map[string]command {
	return map[string]command{"mount-bpffs": runMount, "cni": runCNI, "remove": runRemove, "wait": runWait}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprintln(out, "usage: palisade-install mount-bpffs|cni|remove|wait [FLAG…]")
		return errUsage
	}
	c, ok := commands()[args[0]]
	if !ok {
		fmt.Fprintf(out, "unknown command %q\n", args[0])
		return errUsage
	}
	return c(ctx, args[1:], out)
}

// parse reads the flags of a command, which takes no other arguments.
func parse(f *flag.FlagSet, args []string, out io.Writer) error {
	f.SetOutput(out)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // Parse has said what is wrong
	}
	if f.NArg() > 0 {
		fmt.Fprintf(out, "unexpected argument %s\n", strings.Join(f.Args(), " "))
		return errUsage
	}
	return nil
}

func runWait(ctx context.Context, args []string, out io.Writer) error {
	if err := parse(flag.NewFlagSet("wait", flag.ContinueOnError), args, out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
