package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFailureQuotesTheEndOfTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	if err := os.WriteFile(log, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	err := (&process{name: "etcd", log: log}).failure("ended").Error()
	head, quoted, _ := strings.Cut(err, "\n")
	if want := "etcd ended; the end of " + log + ":"; head != want {
		t.Errorf("error begins %q, want %q", head, want)
	}
	got := strings.Split(quoted, "\n")
	if len(got) != tailLines || got[0] != "line 4985" || got[tailLines-1] != "line 4999" {
		t.Errorf("quotes %q, want the last %d lines", got, tailLines)
	}
}

func TestProcessThatCannotStartSaysSo(t *testing.T) {
	dir := t.TempDir()
	for name, spec := range map[string]processSpec{
		"no program":   {name: "x", path: filepath.Join(dir, "none"), log: filepath.Join(dir, "log")},
		"no namespace": {name: "x", path: "/bin/true", log: filepath.Join(dir, "log"), netns: filepath.Join(dir, "none")},
		"no log":       {name: "x", path: "/bin/true", log: filepath.Join(dir, "none", "log")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := startProcess(spec)
			if err == nil || !strings.HasPrefix(err.Error(), "start x: ") || !errors.Is(err, os.ErrNotExist) {
				t.Errorf("error %v, want that x cannot be started because something is missing", err)
			}
		})
	}
}

func TestReservedPortIsTakenButDoesNotAnswer(t *testing.T) {
	p, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	address := fmt.Sprintf("127.0.0.1:%d", p.number)
	if conn, err := net.Dial("tcp4", address); err == nil {
		_ = conn.Close()
		t.Error("a connection is accepted")
	}
	if listener, err := net.Listen("tcp4", address); err == nil {
		_ = listener.Close()
		t.Error("a stranger can take the port")
	}
}
