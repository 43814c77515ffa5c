// Package gobuild builds the programs of others that a kind cluster is made of (kind itself, CNI plugins, CoreDNS,
// pause) from the Go module hack/kind/programs into the user's cache, once per version of that module.
package gobuild

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
)

// moduleDir is the module of the programs, below the root of the project.
const moduleDir = "hack/kind/programs"

// Programs are the built programs.
type Programs struct {
	// Dir holds one file per program.
	Dir string
	// Key names what they were built from.
	Key string
}

// Path is the file of a program.
func (p Programs) Path(name string) string { return filepath.Join(p.Dir, name) }

// packages are what is built; the last element of each is the name of the program.
func packages() []string {
	const plugins = "github.com/containernetworking/plugins/plugins/"
	return []string{"./coredns", "./pause", "sigs.k8s.io/kind", plugins + "main/ptp", plugins + "main/loopback",
		plugins + "ipam/host-local", plugins + "meta/portmap"}
}

// CNIPlugins are those of the programs that a node's container runtime starts.
func CNIPlugins() []string { return []string{"ptp", "loopback", "host-local", "portmap"} }

// Build finds the programs in the cache, or builds them.
func Build(ctx context.Context, log io.Writer) (Programs, error) {
	module, err := findModule()
	if err != nil {
		return Programs{}, err
	}
	key, err := hashModule(module)
	if err != nil {
		return Programs{}, fmt.Errorf("hash %s: %w", moduleDir, err)
	}
	dir, err := cache.Make(ctx, filepath.Join("programs", key), func(dir string) error {
		fmt.Fprintln(log, "building kind, CNI plugins and CoreDNS; once, for about three minutes on two cores")
		return build(ctx, module, dir, log)
	})
	return Programs{Dir: dir, Key: key}, err
}

func build(ctx context.Context, module, dir string, log io.Writer) error {
	start := time.Now()
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", dir + "/"}, packages()...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build programs: %w\n%s", err, out)
	}
	fmt.Fprintf(log, "built in %s\n", time.Since(start).Round(time.Second))
	return nil
}

// findModule looks for the module in the working directory's ancestors, one of which is the root of the project when
// tests and `go run` are at work.
func findModule() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", moduleDir, err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, moduleDir)
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find %s: %s is not in the project's source tree", moduleDir, start)
		}
	}
}

// hashModule identifies what a build of the module yields: its files, which include the versions of everything, and the
// platform and compiler.
func hashModule(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.GOOS, runtime.GOARCH, runtime.Version())
	err := filepath.WalkDir(module, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(module, path)
		fmt.Fprintf(h, "%q %d\n%s", name, len(data), data)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("a file went away meanwhile: %w", err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}
