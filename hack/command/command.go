// Package command is the frame of the commands in hack: signals, exit codes and what is said of errors.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// ErrUsage means that the caller was told how to call.
var ErrUsage = errors.New("wrong usage")

// Streams are where a command writes: results, and everything else.
type Streams struct{ Out, Err io.Writer }

// Main runs a command with the arguments of this process until it ends, and exits. SIGINT and SIGTERM end its context.
func Main(name string, run func(ctx context.Context, s Streams, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	s := Streams{os.Stdout, os.Stderr}
	code := s.exitCode(name, run(ctx, s, os.Args[1:]))
	stop()
	os.Exit(code)
}

// exitCode is 0, 2 where the command was called wrongly, else 1; then it says why.
func (s Streams) exitCode(name string, err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, ErrUsage):
		return 2
	}
	_, _ = fmt.Fprintf(s.Err, "%s: %v\n", name, err) // there is nowhere else to say it
	return 1
}

// Parse reads flags. What is wrong with them f has said itself: the error is flag.ErrHelp or ErrUsage.
func Parse(f *flag.FlagSet, args []string) error {
	err := f.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return err
}
