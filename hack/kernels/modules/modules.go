// Package modules finds what must be loaded before a kernel module, and in which order. It reads the modules
// themselves: the index that modprobe uses is made when a package is installed, which is not done here.
package modules

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/ulikunitz/xz"
)

// ErrNotFound says that a kernel has no such module.
var ErrNotFound = errors.New("no such module")

// Module is a module as the kernel loads it.
type Module struct {
	Name string
	Code []byte // ELF, not compressed
}

// Load returns the modules of those names and all that they need, each after what it needs. What is built into the
// kernel is left out. tree is the directory of the kernel's modules.
func Load(tree fs.FS, names []string) ([]Module, error) {
	files, err := find(tree)
	if err != nil {
		return nil, err
	}
	builtin, err := readBuiltin(tree)
	if err != nil {
		return nil, err
	}
	found := map[string]Module{}
	order, err := Order(names, func(name string) ([]string, error) {
		if builtin[name] {
			return nil, nil
		}
		m, err := read(tree, name, files[name])
		if err != nil {
			return nil, err
		}
		found[name] = m
		return depends(m.Code)
	})
	if err != nil {
		return nil, err
	}
	var list []Module
	for _, name := range order {
		if m, ok := found[name]; ok {
			list = append(list, m)
		}
	}
	return list, nil
}

// Order returns names and all that they depend on, each once and after what it depends on.
func Order(names []string, depends func(name string) ([]string, error)) ([]string, error) {
	var order []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = canonical(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		needs, err := depends(name)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return fmt.Errorf("needed by %s: %w", name, err)
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// canonical is a module's name as the kernel writes it, which takes the two signs for one.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// nameOf returns the name of the module in a file, or nothing where it is none.
func nameOf(file string) string {
	name, isModule := strings.CutSuffix(strings.TrimSuffix(path.Base(file), ".xz"), ".ko")
	if !isModule {
		return ""
	}
	return canonical(name)
}

// find returns the files of all modules by name.
func find(tree fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(file string, _ fs.DirEntry, err error) error {
		if name := nameOf(file); name != "" {
			files[name] = file
		}
		return err
	})
	return files, err
}

// readBuiltin returns the names of what would be modules but is part of the kernel.
func readBuiltin(tree fs.FS) (map[string]bool, error) {
	list, err := fs.ReadFile(tree, "modules.builtin")
	if err != nil {
		return nil, fmt.Errorf("read what is built in: %w", err)
	}
	names := map[string]bool{}
	for _, file := range strings.Fields(string(list)) {
		names[nameOf(file)] = true
	}
	return names, nil
}

func read(tree fs.FS, name, file string) (Module, error) {
	if file == "" {
		return Module{}, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	f, err := tree.Open(file)
	if err != nil {
		return Module{}, err
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(file, ".xz") {
		if r, err = xz.NewReader(f); err != nil {
			return Module{}, fmt.Errorf("module %s: %w", name, err)
		}
	}
	code, err := io.ReadAll(r)
	if err != nil {
		return Module{}, fmt.Errorf("module %s: %w", name, err)
	}
	return Module{name, code}, nil
}

// depends reads which modules a module needs, out of its section .modinfo.
func depends(code []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("module without .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return ParseDepends(string(info)), nil
}

// ParseDepends returns what a module's information, strings that end in a zero byte, says that it needs.
func ParseDepends(info string) []string {
	for entry := range strings.SplitSeq(info, "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ",")
		}
	}
	return nil
}
