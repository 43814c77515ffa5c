package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stateDir is the directory of one cluster. Its owner holds a lock on it, which the kernel drops when the owner dies;
// so a directory whose lock is free is litter.
type stateDir struct {
	path string
	lock *os.File
}

// maxStateDir bounds the length of its path, so that sockets in it have names that fit (unix(7): 107 bytes).
const maxStateDir = 107 - len("/etcd-peer.sock")

// newStateDir makes a directory under the user's cache directory (not under /tmp, whose names others can take first),
// and removes those of dead owners.
func newStateDir() (*stateDir, error) {
	parent, err := cacheDir("clusters")
	if err != nil {
		return nil, err
	}
	// Under this lock a directory and its own lock come and go as one.
	guard, err := lockFile(parent, unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard.Close() }()
	if err := sweep(parent); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(parent, "")
	if err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	if len(path) > maxStateDir {
		_ = os.Remove(path)
		return nil, fmt.Errorf("create state directory: %s is too long a path for sockets; set XDG_CACHE_HOME", path)
	}
	lock, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, err
	}
	return &stateDir{path: path, lock: lock}, nil
}

// remove deletes the directory. It may be called more than once, and on nil.
func (d *stateDir) remove() error {
	if d == nil {
		return nil
	}
	defer func() { _ = d.lock.Close() }()
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("remove state directory: %w", err)
	}
	return nil
}

// sweep removes the directories under parent whose owners are dead.
func sweep(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("list state directories: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		lock, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue // in use, or removed by its owner just now
		}
		if err != nil {
			return err
		}
		err = os.RemoveAll(path)
		_ = lock.Close()
		if err != nil {
			return fmt.Errorf("remove state directory: %w", err)
		}
	}
	return nil
}

// lockFile opens a file or directory and locks it (flock(2)); closing it unlocks.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// cacheDir makes and returns a directory of ours, readable only by this user, under the user's cache directory.
func cacheDir(name string) (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory: %w", err)
	}
	dir := filepath.Join(user, "palisade", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create cache directory: %w", err)
	}
	return dir, nil
}
