package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// tree is a folder of scenarios, which may refer to other files in it.
type tree struct {
	root string // absolute
	file string // the only scenario to read, below root with slashes; empty for all
	base string // what paths are shown relative to; empty for absolute paths
}

// newTree returns the tree of a folder, or for a single scenario the folder that holds its topic's.
func newTree(path string, folder bool) (tree, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return tree{}, err
	}
	t := tree{root: full}
	if !filepath.IsAbs(path) {
		if t.base, err = filepath.Abs("."); err != nil {
			return tree{}, err
		}
	}
	if !folder {
		t.root = filepath.Dir(filepath.Dir(full))
		file, err := filepath.Rel(t.root, full)
		if err != nil {
			return tree{}, err
		}
		t.file = filepath.ToSlash(file)
	}
	return t, nil
}

func (t tree) load() ([]*spec.Scenario, error) {
	fsys := os.DirFS(t.root)
	if t.file == "" {
		return spec.LoadAll(fsys)
	}
	data, err := fs.ReadFile(fsys, t.file)
	if err != nil {
		return nil, withoutOperation(err)
	}
	return spec.Parse(t.file, data, fsys)
}

// path returns where people find a file of t.
func (t tree) path(name string) string {
	full := filepath.Join(t.root, filepath.FromSlash(name))
	if t.base == "" {
		return full
	}
	if relative, err := filepath.Rel(t.base, full); err == nil {
		return relative
	}
	return full
}

// located gives the files that err names the paths people know.
func (t tree) located(err error) error {
	var all manifest.Errors
	if !errors.As(err, &all) {
		return err
	}
	var located manifest.Errors
	for _, e := range all {
		at := *e
		at.File = t.path(at.File)
		located = append(located, &at)
	}
	return located
}
