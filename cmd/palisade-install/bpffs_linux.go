package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

func runMount(_ context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("mount-bpffs", flag.ContinueOnError)
	path := f.String("path", "/sys/fs/bpf", "`directory` to mount on")
	if err := parse(f, args, out); err != nil {
		return err
	}
	mounted, err := isBPF(*path)
	if err != nil {
		return err
	}
	if mounted {
		fmt.Fprintf(out, "%s is a BPF file system already\n", *path)
		return nil
	}
	// As systemd mounts it.
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME
	if err := unix.Mount("bpf", *path, "bpf", flags, "mode=700"); err != nil {
		return fmt.Errorf("mount a BPF file system on %s: %w", *path, err)
	}
	fmt.Fprintf(out, "mounted a BPF file system on %s\n", *path)
	return nil
}

// isBPF says whether a directory is on a BPF file system.
func isBPF(path string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return false, fmt.Errorf("file system of %s: %w", path, err)
	}
	return s.Type == unix.BPF_FS_MAGIC, nil
}
