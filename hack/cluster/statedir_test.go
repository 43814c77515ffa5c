package cluster

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestStateDirIsSweptOnceItsOwnerIsDead(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dead, alive := mustStateDir(t), mustStateDir(t)
	if err := os.WriteFile(filepath.Join(dead.path, "data"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dead.lock.Close(); err != nil { // what the kernel does when the owner ends
		t.Fatal(err)
	}

	mustStateDir(t)

	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("the directory of a dead owner is left (%v)", err)
	}
	if _, err := os.Stat(alive.path); err != nil {
		t.Errorf("the directory of a live owner is gone: %v", err)
	}
}

func TestStateDirsMadeTogetherDoNotSweepEachOther(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dirs := make([]*stateDir, 20)
	errs := make([]error, len(dirs))
	var wg sync.WaitGroup
	for i := range dirs {
		wg.Go(func() { dirs[i], errs[i] = newStateDir() })
	}
	wg.Wait()
	for i, d := range dirs {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if _, err := os.Stat(d.path); err != nil {
			t.Error(err)
		}
	}
}

func mustStateDir(t *testing.T) *stateDir {
	t.Helper()
	d, err := newStateDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	})
	return d
}
