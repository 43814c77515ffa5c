package cluster

import (
	"bufio"
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
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sourceDir is the module of the all-in-one binary, below the root of the project.
	sourceDir = "hack/k8s"
	// binaryName is the all-in-one binary; the names of programs are links to it.
	binaryName = "k8s"
	// progressInterval is how often a build says how far it is.
	progressInterval = 10 * time.Second
)

// source is the module that the programs are built from.
type source struct {
	dir  string // of the module
	node bool   // with kubelet and kubeadm
	out  string // of the programs, keyed by everything that decides what is built
}

// nodePrograms are what the module's build tag "node" adds.
func nodePrograms() []string { return []string{"kubelet", "kubeadm"} }

// findSource looks for the module in the working directory's ancestors, one of which is the root of the project when
// tests and `go run` are at work.
func findSource(node bool) (source, error) {
	dir, err := os.Getwd()
	if err != nil {
		return source{}, fmt.Errorf("find %s: %w", sourceDir, err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, sourceDir)
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return newSource(module, node)
		}
		if dir == filepath.Dir(dir) {
			return source{}, fmt.Errorf("find %s: %s is not in the project's source tree", sourceDir, start)
		}
	}
}

func newSource(module string, node bool) (source, error) {
	key, err := hashModule(module)
	if err != nil {
		return source{}, err
	}
	cache, err := cacheDir("k8s")
	if err != nil {
		return source{}, err
	}
	if node {
		key += nodeSuffix
	}
	return source{dir: module, node: node, out: filepath.Join(cache, key)}, nil
}

// nodeSuffix marks builds with kubelet and kubeadm.
const nodeSuffix = "-node"

// outs are where programs of s may have been built: those for a node include all others.
func (s source) outs() []string {
	if s.node {
		return []string{s.out}
	}
	return []string{s.out, s.out + nodeSuffix}
}

// hashModule identifies what a build of the module yields: its files, which include the versions of everything, and the
// platform.
func hashModule(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOOS, runtime.GOARCH)
	entries, err := os.ReadDir(module) // sorted
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", sourceDir, err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(module, e.Name()))
		if err != nil {
			return "", fmt.Errorf("hash %s: %w", sourceDir, err)
		}
		fmt.Fprintf(h, "%q %d\n%s", e.Name(), len(data), data)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// build builds the programs into the cache. Whoever else needs them meanwhile, in this process or another, waits
// for the same build.
func (s source) build(ctx context.Context, progress io.Writer) error {
	fmt.Fprintf(progress, "building Kubernetes and etcd into %s; once, for about ten minutes on two cores\n", s.out)
	lock, err := s.lock(progress)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(s.out); err == nil {
		return nil // by the one we waited for
	}
	staging := s.out + ".new"
	if err := os.RemoveAll(staging); err != nil { // of a build that was killed
		return err
	}
	if err := os.Mkdir(staging, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staging) }()
	if err := s.buildInto(ctx, staging, progress); err != nil {
		return err
	}
	return os.Rename(staging, s.out)
}

// lock makes this the only build of s.
func (s source) lock(progress io.Writer) (*os.File, error) {
	path := s.out + ".lock"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	lock, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintln(progress, "another process is building it; waiting")
		return lockFile(path, unix.LOCK_EX)
	}
	return lock, err
}

func (s source) buildInto(ctx context.Context, dir string, progress io.Writer) error {
	version, err := s.command(ctx, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, binaryName),
		"-ldflags", linkerFlags(strings.TrimSpace(string(version)))}
	programs := []string{etcdName, apiServerName, controllerManagerName, kubeProxyName, "kube-scheduler", "kubectl"}
	if s.node {
		args = append(args, "-tags", "node")
		programs = append(programs, nodePrograms()...)
	}
	if err := runShowing(s.command(ctx, append(args, ".")...), progress); err != nil {
		return err
	}
	for _, program := range programs {
		if err := os.Symlink(binaryName, filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	return nil
}

// command is a go command in the module.
func (s source) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return cmd
}

// linkerFlags strips the binary and stamps the version, without which all components report v0.0.0.
func linkerFlags(version string) string {
	flags := []string{"-s", "-w"}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, v := range []string{"gitVersion=" + version, "gitMajor=" + parts[0], "gitMinor=" + parts[1],
			"gitTreeState=clean", "gitCommit=unknown"} {
			flags = append(flags, "-X", pkg+"."+v)
		}
	}
	return strings.Join(flags, " ")
}

// runShowing runs `go build -v`, which names each package that it compiles, and tells progress about it from time to
// time. An error holds what else the command said.
func runShowing(cmd *exec.Cmd, progress io.Writer) error {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var said []string
	start, last, packages := time.Now(), time.Now(), 0
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		if strings.ContainsAny(line, " :") {
			said = append(said, line) // not the path of a package
			continue
		}
		packages++
		if now := time.Now(); now.Sub(last) >= progressInterval {
			last = now
			fmt.Fprintf(progress, "%5s %4d packages compiled, now %s\n", now.Sub(start).Round(time.Second), packages, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, strings.Join(said[max(0, len(said)-tailLines):], "\n"))
	}
	fmt.Fprintf(progress, "%5s built\n", time.Since(start).Round(time.Second))
	return nil
}
