package kind

import (
	"os"
	"path/filepath"
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
