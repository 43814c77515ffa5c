package nodeimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
	"github.com/palisade-netpol/palisade/hack/kind/docker"
)

const (
	// suite is the last release of Debian whose systemd still knows control groups of version 1.
	suite = "bookworm"
	// debianRecipe changes with what is made of the packages.
	debianRecipe = 1
	// mirror is Debian's own.
	mirror = "http://deb.debian.org/debian"
)

// packages are what a node has beyond a minimal Debian. Containers are run by crun, which takes a fraction of runc's time for each; the
// package containerd wants runc all the same.
func packages() []string {
	return []string{"systemd", "containerd", "runc", "crun", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "kmod",
		"procps", "ca-certificates"}
}

// leftOut are patterns of files that a node does without: what has to be read by people, what can be downloaded again,
// and units that manage a machine, some of which (sysctl, binfmt) would change the one that all nodes share.
func leftOut() []string {
	out := []string{"./dev/*", "./proc/*", "./sys/*", "./tmp/*", "./run/*", "./usr/share/doc", "./usr/share/man",
		"./usr/share/info", "./usr/share/locale", "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*",
		"./etc/machine-id", "./etc/hostname", "./etc/resolv.conf", "./etc/systemd/system/*.wants",
		"./usr/lib/systemd/system/sockets.target.wants/systemd-journald-audit.socket",
		"./usr/lib/systemd/system/sockets.target.wants/systemd-initctl.socket"}
	for _, target := range []string{"sysinit", "multi-user", "local-fs", "timers", "getty", "graphical"} {
		out = append(out, "./usr/lib/systemd/system/"+target+".target.wants/*")
	}
	return out
}

// debianDir is a directory of the cache with the layers that come from Debian.
type debianDir string

func (d debianDir) rootfs() string { return filepath.Join(string(d), "rootfs.tar") }
func (d debianDir) nft() string    { return filepath.Join(string(d), "nft.tar") }

func debianKey() string {
	h := sha256.New()
	fmt.Fprintln(h, debianRecipe, runtime.GOARCH, suite, packages(), leftOut())
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// Prepare does the part of Build that needs no inputs, for callers that make those meanwhile.
func Prepare(ctx context.Context, log io.Writer) error {
	_, err := debianLayers(ctx, log)
	return err
}

// debianLayers finds Debian in the cache, or builds it from packages.
func debianLayers(ctx context.Context, log io.Writer) (debianDir, error) {
	dir, err := cache.Make(ctx, filepath.Join("debian", debianKey()), func(dir string) error {
		start := time.Now()
		fmt.Fprintln(log, "building a Debian for nodes from packages; once, for about two minutes")
		if err := buildDebian(ctx, debianDir(dir), log); err != nil {
			return err
		}
		fmt.Fprintf(log, "built in %s\n", time.Since(start).Round(time.Second))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("build Debian for nodes: %w", err)
	}
	return debianDir(dir), nil
}

func buildDebian(ctx context.Context, out debianDir, log io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("only root can run debootstrap")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		fmt.Fprintln(log, "installing debootstrap")
		if err := docker.Install(ctx, "debootstrap"); err != nil {
			return err
		}
	}
	root := filepath.Join(string(out), "rootfs")
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := run(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages(), ","), suite, root,
		mirror); err != nil {
		return err
	}
	if err := writeProgram(root, "usr/sbin/nft", out.nft()); err != nil {
		return fmt.Errorf("layer of nft: %w", err)
	}
	args := []string{"--create", "--file", out.rootfs(), "--directory", root, "--numeric-owner", "--sort=name"}
	for _, pattern := range leftOut() {
		args = append(args, "--exclude="+pattern)
	}
	return run(ctx, "tar", append(args, ".")...)
}

// run runs a command in a mount namespace of its own, so that what it mounts goes with it.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		const enough = 2 << 10
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out[max(0, len(out)-enough):]))
	}
	return nil
}
