package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tree is the source tree that commands are built from.
type tree struct {
	root     string
	revision string    // commit, with "-modified" behind it if files differ from it; empty where git knows of none
	time     time.Time // of the commit; zero where git knows of none
}

// findTree finds the module that dir is in, and its commit.
func findTree(ctx context.Context, dir string) (tree, error) {
	out, err := output(ctx, dir, "go", "env", "GOMOD")
	if err != nil {
		return tree{}, err
	}
	t := tree{root: filepath.Dir(out)}
	if out == "" || out == os.DevNull {
		return t, fmt.Errorf("%s is in no Go module", dir)
	}
	if _, err := os.Stat(filepath.Join(t.root, ".git")); errors.Is(err, os.ErrNotExist) {
		return t, nil // an unpacked source archive
	}
	return t, t.readCommit(ctx)
}

func (t *tree) readCommit(ctx context.Context) error {
	line, err := output(ctx, t.root, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return err
	}
	commit, seconds, _ := strings.Cut(line, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("time of commit %s: %w", commit, err)
	}
	changes, err := output(ctx, t.root, "git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return err
	}
	t.revision, t.time = commit, time.Unix(unix, 0).UTC()
	if changes != "" {
		t.revision += "-modified"
	}
	return nil
}

// missing returns those of the commands that the tree does not have.
func (t tree) missing(commands []string) []string {
	var missing []string
	for _, c := range commands {
		if files, _ := filepath.Glob(filepath.Join(t.root, "cmd", c, "*.go")); len(files) == 0 {
			missing = append(missing, c)
		}
	}
	return missing
}

// program builds a command without cgo, so that it needs no file of a base image, and without anything that depends on
// where it is built.
func (t tree) program(ctx context.Context, command, goarch, out string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto", "-ldflags", "-s -w", "-o", out,
		"./cmd/"+command)
	build.Dir = t.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/%s: %w\n%s", command, err, bytes.TrimSpace(text))
	}
	return nil
}

// output runs a program and returns what it printed, without the white space around it.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return string(bytes.TrimSpace(out)), nil
}
