//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

// mountAll makes the file systems that a host has.
func mountAll() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"bpf", "/sys/fs/bpf"},
		{"cgroup2", "/sys/fs/cgroup"},
	} {
		if err := os.Mkdir(m.at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Some kernels have mounted /dev already.
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
		}
	}
	return nil
}

func readPlan() (*guest.Plan, error) {
	text, err := os.ReadFile(guest.PlanFile)
	if err != nil {
		return nil, err
	}
	var plan guest.Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return &plan, nil
}

func loadModule(file string) error {
	code, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := unix.InitModule(code, ""); err != nil {
		return fmt.Errorf("load module %s: %w", file, err)
	}
	return nil
}

func release() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

// signs are how a kernel says that it found a bug of its own.
var signs = regexp.MustCompile(`BUG: |WARNING: |Oops|general protection|Unable to handle`)

// kernelWarnings returns what the kernel found wrong with itself. That something took long says nothing in an emulated
// machine.
func kernelWarnings() ([]string, error) {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return nil, fmt.Errorf("read kernel log: %w", err)
	}
	log := make([]byte, size)
	if size, err = unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log); err != nil {
		return nil, fmt.Errorf("read kernel log: %w", err)
	}
	var warnings []string
	for line := range strings.Lines(string(log[:size])) {
		if signs.MatchString(line) && !strings.Contains(line, "soft lockup") {
			warnings = append(warnings, strings.TrimSpace(line))
		}
	}
	return warnings, nil
}
