package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMakeFillsOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var fillings atomic.Int32
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			dir, err := Make(t.Context(), "a/b", func(dir string) error {
				fillings.Add(1)
				return os.WriteFile(filepath.Join(dir, "f"), []byte("content"), 0o600)
			})
			if err != nil {
				t.Error(err)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(data) != "content" {
				t.Errorf("f: %q, %v", data, err)
			}
		})
	}
	callers.Wait()
	if n := fillings.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
}

func TestMakeForgetsAFillingThatFailed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	broken := errors.New("broken")
	if _, err := Make(t.Context(), "a", func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), broken)
	}); !errors.Is(err, broken) {
		t.Fatalf("error: %v", err)
	}
	dir, err := Make(t.Context(), "a", func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("what the failed filling left: %v, %v", files, err)
	}
}

func TestLockEndsWaitingWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	free, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Error(err)
	}
}
