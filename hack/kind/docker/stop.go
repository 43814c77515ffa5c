package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
)

// stopTimeout is how long the daemon may take to stop before it is killed.
const stopTimeout = 20 * time.Second

// Stop ends the daemon if it is the one that this package started, and every process of its containers. Its data, with
// the images in it, remain for the next one.
func (d *Docker) Stop(ctx context.Context) error {
	if !d.owned {
		return nil
	}
	return StopOwned(ctx)
}

// StopOwned ends the daemon that this package started, whether it answers or not, and removes what another that was
// killed has left.
func StopOwned(ctx context.Context) error {
	s, err := openState()
	if err != nil {
		return err
	}
	lock, err := cache.Lock(ctx, s.path("lock"))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	return s.stop(ctx)
}

func (s state) stop(ctx context.Context) error {
	p, running, err := s.load()
	if err != nil {
		return err
	}
	if running {
		if err := end(ctx, p); err != nil {
			return err
		}
	}
	if err := errors.Join(disconnect(), removeCgroups()); err != nil {
		return err
	}
	for _, name := range []string{"process.json", "docker.sock"} {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// end asks the process to stop, which ends its containers in order, and kills it if that takes too long. The kernel
// then ends all other processes in its namespace before it lets go of it.
func end(ctx context.Context, p process) error {
	if err := signal(p, unix.SIGTERM); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if awaitEnd(patience, p) == nil {
		return nil
	}
	if err := signal(p, unix.SIGKILL); err != nil {
		return err
	}
	for {
		if err := thaw(); err != nil {
			return err
		}
		second, cancel := context.WithTimeout(ctx, time.Second)
		err := awaitEnd(second, p)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("kill the Docker daemon, process %d: %w", p.PID, err)
		}
	}
}

func signal(p process, s unix.Signal) error {
	if err := unix.Kill(p.PID, s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop the Docker daemon, process %d: %w", p.PID, err)
	}
	return nil
}

func awaitEnd(ctx context.Context, p process) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for p.running() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
	return nil
}

// removeCgroups removes the control groups of containers that were killed. They are empty.
func removeCgroups() error {
	if err := eachCgroupTree(removeTree); err != nil {
		return fmt.Errorf("remove control groups: %w", err)
	}
	return nil
}

// eachCgroupTree does something for the control group of all containers in each hierarchy; it may not be there.
func eachCgroupTree(do func(root string) error) error {
	roots, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", cgroupParent)) // version 1
	for _, root := range append(roots, filepath.Join("/sys/fs/cgroup", cgroupParent)) {
		err = errors.Join(err, do(root))
	}
	return err
}

// removeTree removes a control group and those below it, which is done by rmdir(2), from the leaves up.
func removeTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, unix.Rmdir(dir))
	}
	return err
}
