package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// serving is the environment variable that makes the test binary a probe.
const serving = "PALISADE_PROBE_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serving) == "" {
		os.Exit(m.Run())
	}
	code, err := run(context.Background(), append([]string{"serve"}, os.Args[1:]...), os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(code)
}

// serveProcess starts a probe in the network namespace of the calling thread.
func serveProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), serving+"=1")
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // fails once it has ended
	return c
}

// waitExit waits for the end of a process, which must be soon.
func waitExit(t *testing.T, c *exec.Cmd, want int) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		if got := c.ProcessState.ExitCode(); got != want {
			t.Errorf("the probe exited with %d (%v), want %d", got, err, want)
		}
	case <-time.After(20 * time.Second):
		t.Error("the probe goes on after it was asked to exit")
	}
}
