package kind

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newSysctls(t *testing.T) sysctls {
	t.Helper()
	s := sysctls{dir: t.TempDir(), record: filepath.Join(t.TempDir(), "record")}
	for _, name := range kubeletSysctls() {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		s.set(t, name, "before\n")
	}
	return s
}

func (s sysctls) set(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s sysctls) get(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestKernelParametersAreRestored(t *testing.T) {
	s := newSysctls(t)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	s.set(t, "kernel/panic", "10")
	if err := s.save(); err != nil { // a second cluster
		t.Fatal(err)
	}
	if err := s.restore(); err != nil {
		t.Fatal(err)
	}
	for _, name := range kubeletSysctls() {
		if got := s.get(t, name); got != "before" {
			t.Errorf("%s is %q", name, got)
		}
	}
	if _, err := os.Stat(s.record); !os.IsNotExist(err) {
		t.Errorf("the record is still there: %v", err)
	}
}

func TestKernelParametersThatNobodySavedStay(t *testing.T) {
	s := newSysctls(t)
	if err := s.restore(); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, "kernel/panic"); got != "before\n" {
		t.Errorf("kernel/panic is %q", got)
	}
}

func TestInotifyInstancesAreCounted(t *testing.T) {
	proc := t.TempDir()
	for _, link := range []struct{ path, target string }{
		{"10/fd/3", "anon_inode:inotify"},
		{"10/fd/4", "anon_inode:[eventfd]"},
		{"11/fd/3", "anon_inode:inotify"},
		{"self/fd/3", "anon_inode:inotify"}, // another name of one of the processes
	} {
		path := filepath.Join(proc, link.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link.target, path); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := inotifyInstances(proc); err != nil || got != 2 {
		t.Errorf("%d instances, error %v; want 2", got, err)
	}
}

func TestMachinesThatLackSomethingAreTold(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	little := write("little", "MemTotal: 9000000 kB\nMemAvailable:    1000 kB\n")
	enough := write("enough", "MemTotal: 9000000 kB\nMemAvailable: 4000000 kB\n")
	for name, c := range map[string]struct {
		err  error
		want string // part of what is said; "" for nothing
	}{
		"little memory":             {checkMemory(little, memoryNeeded), "there are 0 MiB"},
		"enough memory":             {checkMemory(enough, memoryNeeded), ""},
		"memory that nobody tells":  {checkMemory(write("none", "MemTotal: 1 kB\n"), memoryNeeded), "does not say"},
		"a full disk":               {checkRoom(dir, 1<<62), "MiB"},
		"an empty disk":             {checkRoom(dir, 1), ""},
		"no control groups":         {checkCgroups(filepath.Join(dir, "nowhere")), "no such file"},
		"directories of that name":  {checkCgroups(filepath.Dir(write("cgroup.controllers", ""))), "no control group"},
		"parameters of another one": {checkWritable(dir, []string{"kernel/panic"}), "no such file"},
		"parameters to write":       {checkWritable(filepath.Dir(write("sys/panic", "1")), []string{"panic"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("error %v, want %q", c.err, c.want)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(dir, "palisade-check-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestNamespacesAreTriedOut: what a script says that fails in namespaces of its own is the reason.
func TestNamespacesAreTriedOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make namespaces")
	}
	if err := inNamespaces(t.Context(), `mount -t tmpfs none /run; echo "$1" >/run/palisade-check`, "x"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/run/palisade-check"); err == nil {
		t.Error("the file system was mounted on the machine, not in the namespace")
	}
	if err := inNamespaces(t.Context(), "echo nothing like that >&2; false"); err == nil ||
		!strings.Contains(err.Error(), "nothing like that") {
		t.Errorf("error %v", err)
	}
	if err := checkLinks(); err != nil {
		t.Error(err)
	}
}
