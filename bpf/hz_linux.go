package bpf

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// hz returns how many jiffies a second has: the coarse clocks advance once per jiffy.
func hz() (uint32, error) {
	var tick unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		return 0, fmt.Errorf("resolution of the coarse clock: %w", err)
	}
	return uint32(time.Second.Nanoseconds() / tick.Nano()), nil
}
