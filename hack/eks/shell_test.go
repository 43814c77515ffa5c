package eks

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// exitCode of a script that was run.
func (s script) exitCode(err error) int {
	s.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		s.Fatal(err)
	}
	return exit.ExitCode()
}

// awaitText reads until text has been printed.
func awaitText(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen strings.Builder
	buf := make([]byte, 1)
	for !strings.Contains(seen.String(), text) {
		if _, err := r.Read(buf); err != nil {
			t.Fatalf("%v after %s", err, seen.String())
		}
		seen.Write(buf)
	}
}

func drain(r io.Reader) { _, _ = io.Copy(io.Discard, r) }

// TestShellcheck finds what only some inputs would show. It is Debian's package shellcheck.
func TestShellcheck(t *testing.T) {
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), path, "run.sh", "install-eksctl.sh").CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
