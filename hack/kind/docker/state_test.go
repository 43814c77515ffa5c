package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestProcessIsKnownByNumberAndStart(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.running() {
		t.Error("this process does not run")
	}
	if other := (process{PID: self.PID, Started: self.Started + "0"}); other.running() {
		t.Error("an earlier process of the same number runs")
	}
}

func TestProcessThatNobodyWaitedForHasEnded(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cat")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err == nil { // until it has closed its output, at its end
		t.Fatal("cat wrote something")
	}
	if err := awaitEnd(t.Context(), p); err != nil {
		t.Errorf("a process that has ended, but was not waited for: %v", err)
	}
}

func TestStateRemembersTheDaemon(t *testing.T) {
	s := state{t.TempDir()}
	if _, running, err := s.load(); err != nil || running {
		t.Errorf("before the first: running %v, error %v", running, err)
	}
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.save(self); err != nil {
		t.Fatal(err)
	}
	if got, running, err := s.load(); err != nil || !running || got != self {
		t.Errorf("got %v, running %v, error %v; want %v", got, running, err, self)
	}
	if err := os.WriteFile(s.path("process.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.load(); err == nil {
		t.Error("a broken file is taken for a daemon that has ended")
	}
}

func TestControlGroupsAreRemovedWithThoseBelow(t *testing.T) {
	root := filepath.Join(t.TempDir(), "group")
	for _, dir := range []string{"a/b/c", "a/d", "e"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeTree(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if err := removeTree(root); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestControlGroupInUseIsAnError(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "process"), nil, 0o600); err != nil { // rmdir(2) refuses, as in use
		t.Fatal(err)
	}
	if err := removeTree(root); err == nil {
		t.Error("a group in use was removed")
	}
}
