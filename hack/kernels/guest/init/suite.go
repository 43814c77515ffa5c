//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

// runSuite runs the binaries of a suite one after the other.
func runSuite(s guest.Suite, console io.Writer) *guest.Result {
	result := &guest.Result{Suite: s.Name}
	begin := time.Now()
	for _, run := range s.Runs {
		fmt.Fprintf(console, "\n--- %s: %s %v\n", s.Name, run.Binary, run.Args)
		before := result.Passed
		if err := runBinary(run, result, console); err != nil {
			result.Error = err.Error()
		} else if result.Passed == before && len(result.Failed) == 0 {
			result.Error = fmt.Sprintf("%s %v: no test ran", run.Binary, run.Args)
		}
	}
	result.Took = time.Since(begin)
	return result
}

// runBinary runs a test binary through test2json and adds its tests to the result. That tests failed is no error.
func runBinary(run guest.Run, result *guest.Result, console io.Writer) error {
	args := append([]string{"-t", run.Binary, "-test.v=test2json"}, run.Args...)
	cmd := exec.Command("/bin/test2json", args...)
	cmd.Dir, cmd.Stderr = run.Dir, console
	cmd.Env = append(os.Environ(), "HOME=/tmp", "TMPDIR=/tmp", "PATH=/bin")
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	failed := len(result.Failed)
	err = result.Collect(events, console)
	var exit *exec.ExitError
	if wait := cmd.Wait(); err == nil && (!errors.As(wait, &exit) || len(result.Failed) <= failed) {
		err = wait
	}
	if err != nil {
		return fmt.Errorf("%s: %w", run.Binary, err)
	}
	return nil
}
