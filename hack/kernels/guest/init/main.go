//go:build linux

// Command init is the first and only process of a virtual machine: it mounts what tests need, loads modules, runs the
// suites of the plan that lies beside it, tells the host what became of them, and powers off. The kernel runs it; on a
// machine of its own it refuses to.
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this is the first process of a virtual machine: see hack/kernels")
		os.Exit(2)
	}
	if err := run(os.Stdout); err != nil {
		fmt.Println("init:", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // nobody is left to tell of an error
}

func run(console io.Writer) error {
	if err := mountAll(); err != nil {
		return err
	}
	plan, err := readPlan()
	if err != nil {
		return err
	}
	for _, file := range plan.Modules {
		if err := loadModule(file); err != nil {
			return err
		}
	}
	release, err := release()
	if err != nil {
		return err
	}
	for _, s := range plan.Suites {
		result := runSuite(s, console)
		result.Kernel = release
		if err := guest.WriteResult(console, result); err != nil {
			return err
		}
	}
	warnings, err := kernelWarnings()
	if err != nil {
		return err
	}
	return guest.WriteLast(console, &guest.Last{Finished: true, Warnings: warnings})
}
