package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
	"github.com/palisade-netpol/palisade/hack/kernels/modules"
)

// writeInitramfs writes the guest's initial file system: the binaries, the modules and the plan. It is not compressed,
// since unpacking is what emulation is slowest at.
func writeInitramfs(file string, bins binaries, mods []modules.Module, list []suite) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := &initramfs{cpio: cpio.NewWriter(f), folders: map[string]bool{"/": true}}
	for _, at := range slices.Sorted(maps.Keys(bins)) {
		if err := a.copyFile(at, bins[at]); err != nil {
			return fmt.Errorf("initial file system: %w", err)
		}
	}
	var loads []string
	for _, m := range mods {
		loads = append(loads, "/modules/"+m.Name+".ko")
		if err := a.write(loads[len(loads)-1], m.Code); err != nil {
			return err
		}
	}
	text, err := json.Marshal(plan(loads, list))
	if err != nil {
		return err
	}
	if err := a.write(guest.PlanFile, text); err != nil {
		return err
	}
	return a.cpio.Close()
}

// initramfs is an archive that is being written.
type initramfs struct {
	cpio    *cpio.Writer
	folders map[string]bool // that it has
}

func (a *initramfs) copyFile(at, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return a.write(at, content)
}

// write adds a file, and the folders above it.
func (a *initramfs) write(at string, content []byte) error {
	if err := a.mkdir(path.Dir(at)); err != nil {
		return err
	}
	name, size := strings.TrimPrefix(at, "/"), int64(len(content))
	return a.add(&cpio.Header{Name: name, Mode: cpio.TypeReg | 0o755, Size: size, Links: 1}, content)
}

func (a *initramfs) mkdir(at string) error {
	if a.folders[at] {
		return nil
	}
	a.folders[at] = true
	if err := a.mkdir(path.Dir(at)); err != nil {
		return err
	}
	return a.add(&cpio.Header{Name: strings.TrimPrefix(at, "/"), Mode: cpio.TypeDir | 0o755, Links: 2}, nil)
}

func (a *initramfs) add(header *cpio.Header, content []byte) error {
	if err := a.cpio.WriteHeader(header); err != nil {
		return fmt.Errorf("add %s: %w", header.Name, err)
	}
	if _, err := a.cpio.Write(content); err != nil {
		return fmt.Errorf("add %s: %w", header.Name, err)
	}
	return nil
}
