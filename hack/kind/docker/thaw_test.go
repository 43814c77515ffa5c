package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestThaw stops a process as runc does, in the version of control groups that this machine has.
func TestThaw(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make control groups")
	}
	parent, file, stop := "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN"
	if _, err := os.Stat(parent); err != nil {
		parent, file, stop = "/sys/fs/cgroup", "cgroup.freeze", "1"
	}
	root, err := os.MkdirTemp(parent, "palisade-test-")
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(root, "container")
	defer func() {
		if err := removeTree(root); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("sleep", "60")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	defer func() { _ = process.Process.Kill() }()
	for _, write := range [][2]string{{"cgroup.procs", strconv.Itoa(process.Process.Pid)}, {file, stop}} {
		if err := os.WriteFile(filepath.Join(inner, write[0]), []byte(write[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := thawTree(root); err != nil {
		t.Fatal(err)
	}
	if err := process.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || err.Error() != "signal: terminated" {
			t.Errorf("the process ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the process is still stopped")
		if err := os.WriteFile(filepath.Join(inner, file), []byte(thawed[file]), 0); err != nil {
			t.Fatal(err)
		}
		t.Logf("thawed by its file, it ended with %v", <-ended)
	}
	if err := thawTree(filepath.Join(root, "none")); err != nil {
		t.Errorf("no control group: %v", err)
	}
}
