package docker

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
)

const (
	// startTimeout is how long the daemon may take until it answers.
	startTimeout = 2 * time.Minute
	// pollInterval is how often it is asked meanwhile, and how often a stopping one is looked at.
	pollInterval = 100 * time.Millisecond
	// cgroupParent is the control group, in each hierarchy, that holds those of all containers.
	cgroupParent = "palisade-kind"
)

//go:embed init.sh
var initScript string

//go:embed runc.sh
var runcScript []byte

// start starts the daemon, unless it runs.
func start(ctx context.Context) (*Docker, error) {
	s, err := openState()
	if err != nil {
		return nil, err
	}
	lock, err := cache.Lock(ctx, s.path("lock"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	if p, running, err := s.load(); err != nil {
		return nil, err
	} else if running {
		return s.docker(), s.awaitReady(ctx, p)
	}
	p, err := s.launch()
	if err != nil {
		return nil, fmt.Errorf("start a Docker daemon: %w", err)
	}
	if err := s.awaitReady(ctx, p); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s.docker(), nil
}

// Revive is Find, but starts the daemon of this package when it was killed: containers that it remembers can only be
// removed by one that runs, and would be started by the next one.
func Revive(ctx context.Context) (*Docker, error) {
	d, err := Find(ctx)
	if !errors.Is(err, ErrNone) {
		return d, err
	}
	s, err := openState()
	if err != nil {
		return nil, err
	}
	containers, err := os.ReadDir(s.path("data/containers"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(containers) == 0 {
		return nil, ErrNone
	}
	return start(ctx)
}

// launch starts the first process of new namespaces and gives it a network. The process outlives this one.
func (s state) launch() (process, error) {
	args, err := s.daemonArgs()
	if err != nil {
		return process{}, err
	}
	log, err := os.Create(s.path("dockerd.log"))
	if err != nil {
		return process{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("sh", append([]string{"-c", initScript, "dockerd"}, args...)...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	// Unshareflags, for which package syscall makes all mounts private, rather than Cloneflags.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
	}
	network, err := cmd.StdinPipe()
	if err != nil {
		return process{}, err
	}
	defer func() { _ = network.Close() }() // a process that waits for its network ends without it
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	go func() { _ = cmd.Wait() }() // reaps it, if it ends before this process does
	return s.register(cmd.Process.Pid, network)
}

// register remembers the process, connects it and lets it go on.
func (s state) register(pid int, network interface{ Write([]byte) (int, error) }) (process, error) {
	p, err := identify(pid)
	if err != nil {
		return process{}, err
	}
	if err := s.save(p); err != nil {
		return process{}, err
	}
	if err := connect(pid); err != nil {
		return process{}, err
	}
	_, err = network.Write([]byte("go\n"))
	return p, err
}

func (s state) daemonArgs() ([]string, error) {
	args := []string{
		"--host", s.docker().host,
		"--data-root", s.path("data"),
		"--exec-root", "/run/docker", // of the daemon's own mount namespace
		"--pidfile", "/run/docker.pid",
		"--config-file", s.path("daemon.json"), // not the machine's
		"--cgroup-parent", "/" + cgroupParent,
		"--add-runtime", "palisade=" + s.path("runc"),
		"--default-runtime", "palisade",
		"--log-level", "warn",
	}
	if err := os.WriteFile(s.path("daemon.json"), []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Remove(s.path("docker.sock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return args, os.WriteFile(s.path("runc"), runcScript, 0o700)
}

// LacksSysResource says whether this process, and so what it starts, can never have CAP_SYS_RESOURCE, as in some
// virtual machines. Then no process can be given a lower OOM score than this one has.
func LacksSysResource() (bool, error) {
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_RESOURCE, 0, 0, 0)
	if err != nil {
		return false, fmt.Errorf("read the capability bounding set: %w", err)
	}
	return has == 0, nil
}

// awaitReady returns when the daemon answers.
func (s state) awaitReady(ctx context.Context, p process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for !s.docker().answers(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("await the Docker daemon: %w\n%s", ctx.Err(), s.logTail())
		case <-poll.C:
		}
		if !p.running() {
			return fmt.Errorf("the Docker daemon ended while it started\n%s", s.logTail())
		}
	}
	return nil
}

// logTail is the end of the daemon's log.
func (s state) logTail() []byte {
	const enough = 4 << 10
	log, err := os.ReadFile(s.path("dockerd.log"))
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(log[max(0, len(log)-enough):])
}
