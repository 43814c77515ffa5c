package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// instance is the directory that says which cluster runs in the background. The owner of the cluster holds a lock
// there, so that nobody takes a process for it that has its number by accident.
type instance struct{ dir string }

// state is what the owner tells others once its cluster is ready.
type state struct {
	PID        int         `json:"pid"`
	Version    string      `json:"version"`
	URL        string      `json:"url"`
	Kubeconfig string      `json:"kubeconfig"`
	Dir        string      `json:"dir"`    // of the cluster's state and logs
	BinDir     string      `json:"binDir"` // of kubectl
	Nodes      []nodeState `json:"nodes,omitempty"`
}

// errNotRunning is returned by commands that need a cluster.
var errNotRunning = errors.New(`no cluster runs; start one with "up"`)

func openInstance() (instance, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return instance{}, err
	}
	dir := filepath.Join(cache, "palisade", "up")
	return instance{dir: dir}, os.MkdirAll(dir, 0o700)
}

func (i instance) lockPath() string  { return filepath.Join(i.dir, "lock") }
func (i instance) statePath() string { return filepath.Join(i.dir, "state.json") }
func (i instance) logPath() string   { return filepath.Join(i.dir, "log") }

// acquire makes this process the owner until it ends or closes the file. No other file of the lock's path may be closed
// meanwhile, because that would release it (fcntl(2)).
func (i instance) acquire() (io.Closer, error) {
	f, err := os.OpenFile(i.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("a cluster runs already: %w", err)
	}
	return f, nil
}

// owner returns the process that holds the lock, or 0.
func (i instance) owner() (int, error) {
	f, err := os.OpenFile(i.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("look for the owner of the cluster: %w", err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// awaitRelease blocks until no process holds the lock.
func (i instance) awaitRelease() error {
	f, err := os.OpenFile(i.lockPath(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// running returns the state of the cluster that runs and is ready, or errNotRunning.
func (i instance) running() (state, error) {
	owner, err := i.owner()
	if err != nil {
		return state{}, err
	}
	if owner == 0 {
		return state{}, errNotRunning
	}
	data, err := os.ReadFile(i.statePath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return state{}, err
	}
	var s state
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil || s.PID != owner { // else the file is one that a killed owner left
		return state{}, fmt.Errorf("the cluster of process %d is not ready yet", owner)
	}
	return s, nil
}

// publish tells others about the cluster, all at once.
func (i instance) publish(s state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(i.statePath()+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(i.statePath()+".new", i.statePath())
}

// quote makes one word for a POSIX shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
