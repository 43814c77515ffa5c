package main

import (
	"context"
	"errors"
	"fmt"
)

// The exit codes, which scripts rely on.
const (
	exitOK          = 0
	exitFailed      = 1   // something was checked and is wrong, or could not be finished
	exitUsage       = 2   // the input or the command line is wrong; nothing was applied
	exitInterrupted = 130 // ended by a signal, after cleaning up
)

// failure is an error of the work itself, as opposed to one of its input: it exits 1.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func failf(format string, args ...any) error { return failure{fmt.Errorf(format, args...)} }

// exitCode maps what a command returned to its exit code. What is not known to be a failure is bad input: commands
// return the errors of flags, files and manifests as they are.
func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, new(failure)):
		return exitFailed
	}
	return exitUsage
}
