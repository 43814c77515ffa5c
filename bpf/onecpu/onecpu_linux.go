package onecpu

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Bind binds the calling goroutine to one of the CPUs that it may run on, until free is called.
func Bind() (free func(), err error) {
	var all, one unix.CPUSet
	runtime.LockOSThread()
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("look for a CPU: %w", err)
	}
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("bind to a CPU: %w", err)
	}
	return func() {
		if unix.SchedSetaffinity(0, &all) == nil { // else the thread ends with the goroutine
			runtime.UnlockOSThread()
		}
	}, nil
}
