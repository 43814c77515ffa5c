// Package vm boots a kernel with an initial file system under qemu, and returns when the machine has powered off.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// ErrNoQEMU says what is missing on this machine.
var ErrNoQEMU = errors.New("qemu is not installed")

// Machine is a virtual machine without disk and network.
type Machine struct {
	Arch   string // as Go calls it: amd64 or arm64
	Kernel string // file
	Initrd string // file
	// Accel is qemu's accelerator. Emulation works everywhere and is the same everywhere.
	Accel string
}

// model is what differs between the architectures.
type model struct {
	qemu, debian string // the program, and its Debian package
	args         []string
	console      string
}

func models() map[string]model {
	return map[string]model{
		"amd64": {"qemu-system-x86_64", "qemu-system-x86", []string{"-machine", "q35", "-cpu", "max"}, "ttyS0"},
		"arm64": {"qemu-system-aarch64", "qemu-system-arm", []string{"-machine", "virt", "-cpu", "cortex-a72"}, "ttyAMA0"},
	}
}

// Check returns an error that wraps ErrNoQEMU, and says what to install, where machines of an architecture cannot run.
func Check(arch string) error {
	m := models()[arch]
	if _, err := exec.LookPath(m.qemu); err != nil {
		return fmt.Errorf("%w: %s is missing, install it with `apt-get install --no-install-recommends %s`", ErrNoQEMU,
			m.qemu, m.debian)
	}
	return nil
}

// Run boots the machine and writes what it says on its console. It returns when the machine is off, which it is at the
// latest when the context ends, and says how much processor time of the host that took.
func (m Machine) Run(ctx context.Context, console io.Writer) (time.Duration, error) {
	if err := Check(m.Arch); err != nil {
		return 0, err
	}
	kind := models()[m.Arch]
	args := append(kind.args, "-accel", m.Accel, "-m", "2048", "-smp", "2", "-nic", "none", "-display", "none",
		"-serial", "stdio", "-monitor", "none", "-no-reboot", "-kernel", m.Kernel, "-initrd", m.Initrd,
		"-append", "console="+kind.console+" quiet loglevel=1 panic=-1 rdinit=/init")
	cmd := exec.CommandContext(ctx, kind.qemu, args...)
	cmd.Stdout, cmd.Stderr = console, console
	err := cmd.Run()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", kind.qemu, err)
	}
	if cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}
