package pinfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// FS is a detached BPF file system.
type FS struct {
	root *os.File
}

// New makes an empty BPF file system. It needs CAP_SYS_ADMIN and Linux 5.2.
func New() (*FS, error) {
	context, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open a bpf file system: %w", err)
	}
	defer func() { _ = unix.Close(context) }()
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, fmt.Errorf("create a bpf file system: %w", err)
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount a bpf file system: %w", err)
	}
	return &FS{root: os.NewFile(uintptr(mount), "bpffs")}, nil
}

// Path is the root directory as this process, and no other, can name it.
func (f *FS) Path() string { return "/proc/self/fd/" + strconv.Itoa(int(f.root.Fd())) }

// Root is the root directory, for programs that inherit its descriptor. It is valid until Close.
func (f *FS) Root() *os.File { return f.root }

// Mkdir makes a directory under the root and returns its path. A BPF file system accepts no name with a dot.
func (f *FS) Mkdir(name string) (string, error) {
	path := filepath.Join(f.Path(), name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("make a directory for pins: %w", err)
	}
	return path, nil
}

// Close drops the file system with everything that is pinned in it.
func (f *FS) Close() error {
	if err := f.root.Close(); err != nil {
		return fmt.Errorf("close a bpf file system: %w", err)
	}
	return nil
}
