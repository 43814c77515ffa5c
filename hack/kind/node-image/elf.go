package nodeimage

import (
	"debug/elf"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// writeProgram writes a layer with one program of a root file system and all libraries that it needs.
func writeProgram(root, program, archive string) error {
	interpreter, libraries, err := needs(root, program)
	l := newLayer(archive)
	l.add(program, 0o755, filepath.Join(root, program))
	l.add(interpreter, 0o755, filepath.Join(root, interpreter))
	for _, library := range libraries {
		l.add(library, 0o644, filepath.Join(root, library))
	}
	if err != nil {
		l.err = err
	}
	return l.close()
}

// needs returns the program loader and, sorted, the shared libraries that a program needs, directly or through others,
// as paths below root.
func needs(root, program string) (interpreter string, libraries []string, err error) {
	binary, err := elf.Open(filepath.Join(root, program))
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = binary.Close() }()
	if interpreter, err = readInterpreter(binary); err != nil {
		return "", nil, fmt.Errorf("%s: %w", program, err)
	}
	found := map[string]bool{}
	if err := addNeeds(root, program, found); err != nil {
		return "", nil, err
	}
	for library := range found {
		libraries = append(libraries, library)
	}
	slices.Sort(libraries)
	return interpreter, libraries, nil
}

func readInterpreter(binary *elf.File) (string, error) {
	section := binary.Section(".interp")
	if section == nil {
		return "", fmt.Errorf("names no program loader")
	}
	data, err := section.Data()
	return strings.Trim(string(data), "/\x00"), err
}

// addNeeds adds the libraries that one file needs and, for those that are new, what they need.
func addNeeds(root, file string, found map[string]bool) error {
	binary, err := elf.Open(filepath.Join(root, file))
	if err != nil {
		return err
	}
	defer func() { _ = binary.Close() }()
	names, err := binary.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range names {
		library, err := findLibrary(root, name)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if found[library] {
			continue
		}
		found[library] = true
		if err := addNeeds(root, library, found); err != nil {
			return err
		}
	}
	return nil
}

// findLibrary looks where the loader of a Debian looks.
func findLibrary(root, name string) (string, error) {
	matches, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*", name))
	if err != nil {
		return "", err
	}
	for _, m := range matches {
		if _, err := os.Stat(m); err == nil {
			library, err := filepath.Rel(root, m)
			return path.Clean(library), err
		}
	}
	return "", fmt.Errorf("library %s is not in Debian's directories", name)
}
