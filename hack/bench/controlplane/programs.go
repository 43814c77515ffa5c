package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// binaries is a directory with palisade-controller and palisade-agent.
type binaries struct {
	dir  string
	ours bool // made for this run
}

// programs returns the programs in dir, or builds them where dir is empty.
func programs(ctx context.Context, dir string) (binaries, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		return binaries{dir: abs}, err
	}
	dir, err := os.MkdirTemp("", "palisade-bench-")
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir: dir, ours: true}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+"/",
		"./cmd/palisade-controller", "./cmd/palisade-agent")
	if output, err := build.CombinedOutput(); err != nil {
		return binaries{}, errors.Join(fmt.Errorf("build the programs: %w\n%s", err, output), b.remove())
	}
	return b, nil
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

func (b binaries) remove() error {
	if !b.ours {
		return nil
	}
	return os.RemoveAll(b.dir)
}
