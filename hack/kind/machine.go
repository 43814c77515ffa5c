package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
	"github.com/palisade-netpol/palisade/hack/kind/docker"
)

const (
	// roomNeeded is what building and running a cluster takes of the cache's file system, and memoryNeeded what three
	// nodes take beside what else runs.
	roomNeeded   = 8 << 30
	memoryNeeded = 2 << 30
)

// Missing tells what this machine lacks to run clusters for so many workers, in one line each: properties of the machine,
// never what Up could install or build. An error says that this could not be found out.
func Missing(ctx context.Context, workers int, log io.Writer) ([]string, error) {
	dir, err := cache.Dir("")
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, need := range needs(ctx, dir, workers) {
		if err := need.check(); err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", need.what, err))
			continue
		}
		fmt.Fprintln(log, "has", need.what)
	}
	return missing, nil
}

// need is something that a machine must have.
type need struct {
	what  string
	check func() error
}

func needs(ctx context.Context, dir string, workers int) []need {
	list := []need{
		{"8 GiB of room below " + dir, func() error { return checkRoom(dir, roomNeeded) }},
		{"2 GiB of free memory", func() error { return checkMemory("/proc/meminfo", memoryNeeded) }},
		{"instances of inotify", func() error { return checkInotify(workers + 1) }},
	}
	if _, err := docker.Find(ctx); err == nil {
		return list // the rest is the daemon's affair
	}
	mounts := "mount -t proc proc /proc && mount -t tmpfs none /run"
	return append([]need{
		{"root", checkRoot},
		{"apt-get, for Docker and debootstrap", checkPackages},
		{"namespaces in which to mount", func() error { return inNamespaces(ctx, mounts) }},
		{"overlay file systems", func() error { return checkOverlay(ctx, dir) }},
		{"control groups", func() error { return checkCgroups("/sys/fs/cgroup") }},
		{"bridges and veths", checkLinks},
		{"kernel parameters that kubelets may write", func() error { return checkWritable(procSys, kubeletSysctls()) }},
	}, list...)
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("this is another user")
	}
	return nil
}

// checkPackages fails where programs are missing that nothing can install.
func checkPackages() error {
	if _, err := exec.LookPath("apt-get"); err == nil {
		return nil
	}
	for _, program := range []string{"docker", "dockerd", "containerd", "runc", "iptables", "debootstrap"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is none, and %s is not installed", program)
		}
	}
	return nil
}

// inNamespaces runs a script in namespaces like those of a Docker daemon of its own.
func inNamespaces(ctx context.Context, script string, args ...string) error {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-ec", script, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// checkOverlay fails where containers could not write: an overlay cannot lie upon every file system.
func checkOverlay(ctx context.Context, dir string) error {
	dir, err := os.MkdirTemp(dir, "overlay-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return inNamespaces(ctx, `cd "$1"; mkdir lower upper work all
		mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none all; echo x >all/file`, dir)
}

// checkCgroups fails where no control groups can be made: those of version 2, or of version 1 that a kubelet needs.
func checkCgroups(root string) error {
	hierarchies := []string{"."}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		hierarchies = []string{"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
	}
	for _, h := range hierarchies {
		group, err := os.MkdirTemp(filepath.Join(root, h), "palisade-check-")
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(group, "cgroup.procs")); err != nil {
			return errors.Join(fmt.Errorf("%s is no control group: %w", group, err), os.Remove(group))
		}
		if err := unix.Rmdir(group); err != nil {
			return fmt.Errorf("remove control group %s: %w", group, err)
		}
	}
	return nil
}

// checkLinks makes the links that Docker makes, in a network namespace that goes with this thread.
func checkLinks() error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function
		space, err := netns.New()
		if err != nil {
			failed <- err
			return
		}
		defer func() { _ = space.Close() }()
		failed <- errors.Join(
			netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br"}}),
			netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "other"}))
	}()
	return <-failed
}

func checkWritable(dir string, names []string) error {
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

func checkRoom(dir string, bytes uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < bytes {
		return fmt.Errorf("there are %d MiB", free>>20)
	}
	return nil
}

// checkMemory reads meminfo of proc(5).
func checkMemory(path string, bytes uint64) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kilobytes); n == 1 {
			if kilobytes<<10 < bytes {
				return fmt.Errorf("there are %d MiB", kilobytes>>10)
			}
			return nil
		}
	}
	return fmt.Errorf("%s does not say", path)
}
