// Package cache keeps what is expensive to make for kind clusters below the user's cache directory. What is there is
// complete: it is made under another name and then renamed.
package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is how often a lock that another holds is tried.
const pollInterval = 100 * time.Millisecond

// Dir makes and returns a directory of the cache, readable only by this user.
func Dir(name string) (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory: %w", err)
	}
	dir := filepath.Join(user, "palisade", "kind", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create cache directory: %w", err)
	}
	return dir, nil
}

// Make returns the directory of that name, which fill has filled, now or earlier. Whoever else needs it meanwhile, in
// this process or another, waits for the same filling.
func Make(ctx context.Context, name string, fill func(dir string) error) (string, error) {
	parent, err := Dir(filepath.Dir(name))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, filepath.Base(name))
	lock, err := Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return dir, err
	}
	return dir, fillAndRename(dir, fill)
}

func fillAndRename(dir string, fill func(dir string) error) error {
	staging := dir + ".new"
	if err := os.RemoveAll(staging); err != nil { // of a process that was killed
		return err
	}
	if err := os.Mkdir(staging, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staging) }()
	if err := fill(staging); err != nil {
		return err
	}
	return os.Rename(staging, dir)
}

// Lock waits until no one else holds the lock of that file, which it creates. Closing it unlocks, and so does the end
// of the process.
func Lock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := await(ctx, f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// await asks again and again, since a flock(2) that waits does not end with a context.
func await(ctx context.Context, f *os.File) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}
