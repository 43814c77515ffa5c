package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// treeCopy is a copy of the files that git knows or would take, as they are in the working tree.
type treeCopy struct{ dir string }

func newCopy(ctx context.Context, tree string) (*treeCopy, error) {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = tree
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	c := &treeCopy{dir}
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		if err := c.take(tree, name); err != nil {
			return nil, errors.Join(err, c.remove())
		}
	}
	return c, nil
}

// take copies one file. One that was deleted but not committed is no part of the tree.
func (c *treeCopy) take(tree, name string) error {
	from := filepath.Join(tree, name)
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	} else if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	to := filepath.Join(c.dir, name)
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, info.Mode().Perm()))
}

func (c *treeCopy) remove() error { return os.RemoveAll(c.dir) }

// generated are the files that follow from the C.
func generated() []string { return []string{"bpf/kernel_bpfel.go", "bpf/kernel_bpfel.o"} }

// plant changes the copy, and returns how to change it back.
func (c *treeCopy) plant(ctx context.Context, m Mutant) (restore func() error, err error) {
	path := filepath.Join(c.dir, m.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.Old)); n != 1 {
		return nil, fmt.Errorf("the patch does not apply: %s has its text %d times", m.File, n)
	}
	names := []string{m.File}
	if m.isC() {
		names = append(names, generated()...)
	}
	saved, err := c.save(names)
	if err != nil {
		return nil, err
	}
	mutated := bytes.Replace(text, []byte(m.Old), []byte(m.New), 1)
	if err := os.WriteFile(path, mutated, 0o644); err != nil {
		return nil, err
	}
	if m.isC() {
		if err := c.generate(ctx); err != nil {
			return nil, errors.Join(err, saved())
		}
	}
	return saved, nil
}

// save returns a function that writes files as they are now.
func (c *treeCopy) save(names []string) (func() error, error) {
	content := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			return nil, err
		}
		content[name] = data
	}
	return func() error {
		var errs []error
		for name, data := range content {
			errs = append(errs, os.WriteFile(filepath.Join(c.dir, name), data, 0o644))
		}
		return errors.Join(errs...)
	}, nil
}

func (c *treeCopy) generate(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "generate", "./bpf")
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go generate ./bpf: %w\n%s", err, out)
	}
	return nil
}
