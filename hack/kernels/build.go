package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
)

// binaryName is what a package's test binary is called, in the folder of the package.
const binaryName = "suite.test"

// inGuest is where the guest has a file of the module.
func inGuest(elem ...string) string { return path.Join("/src", path.Join(elem...)) }

// binaries are what the guests of an architecture get: files of the host by their paths in the guest.
type binaries map[string]string

// build compiles the first process and the tests of the suites, statically, into dir.
func build(ctx context.Context, dir, arch string, list []suite) (binaries, error) {
	files := binaries{}
	for at, pkg := range map[string]string{"/init": "./hack/kernels/guest/init", "/bin/test2json": "cmd/test2json"} {
		files[at] = filepath.Join(dir, path.Base(at))
		if err := compile(ctx, arch, "build", "-o", files[at], pkg); err != nil {
			return nil, err
		}
	}
	for _, pkg := range packages(list) {
		out := filepath.Join(dir, filepath.FromSlash(pkg), binaryName)
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return nil, err
		}
		if err := compile(ctx, arch, "test", "-c", "-o", out, "./"+pkg); err != nil {
			return nil, err
		}
		if _, err := os.Stat(out); err != nil {
			return nil, fmt.Errorf("package %s has no tests: %w", pkg, err)
		}
		files[inGuest(pkg, binaryName)] = out
		if err := addTestdata(files, pkg); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addTestdata adds the files that the tests of a package read, where it has any.
func addTestdata(files binaries, pkg string) error {
	dir := filepath.Join(filepath.FromSlash(pkg), "testdata")
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			files[inGuest(filepath.ToSlash(file))] = file
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// packages are those that the suites test, each once.
func packages(list []suite) []string {
	var all []string
	for _, s := range list {
		for _, r := range s.runs {
			all = append(all, r.pkg)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func compile(ctx context.Context, arch string, args ...string) error {
	args = slices.Insert(args, 1, "-trimpath", "-ldflags=-s -w")
	if args[0] == "test" {
		args = slices.Insert(args, 1, "-vet=off") // `make lint` has said what there is to say
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}
