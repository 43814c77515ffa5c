package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// thisMachine asks the kernel that is running.
func thisMachine() (m machine, err error) {
	var tick unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil { // the coarse clocks advance once per jiffy
		return m, fmt.Errorf("resolution of the coarse clock: %w", err)
	}
	m.hz = uint32(time.Second.Nanoseconds() / tick.Nano())
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("version of the kernel: %w", err)
	}
	m.realtime = strings.Contains(unix.ByteSliceToString(name.Version[:]), "PREEMPT_RT")
	possible, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return m, err
	}
	m.cpus, err = countCPUs(string(possible))
	return m, err
}

// countCPUs returns how many numbers CPUs may have, from a list of ranges in ascending order such as "0-3,8-11" (the kernel's
// Documentation/admin-guide/cputopology.rst).
func countCPUs(ranges string) (int, error) {
	ranges = strings.TrimSpace(ranges)
	last, err := strconv.Atoi(ranges[strings.LastIndexAny(ranges, ",-")+1:])
	if err != nil {
		return 0, errors.Join(fmt.Errorf("list of CPUs %q", ranges), err)
	}
	return last + 1, nil
}
