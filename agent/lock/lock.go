// Package lock keeps all but one off a directory of pins: an agent that works on it, or who takes it off the node.
package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// every is how often it is looked whether the one before has ended.
const every = 50 * time.Millisecond

// Take waits until nobody else works on the pins in dir, which it makes if necessary, and keeps others off them until
// the file that it returns is closed, or the process has died. Two agents would each write the difference to tables
// that the other has changed. It calls waits once, if it has to wait. The error is that of ctx if it ends first.
func Take(ctx context.Context, dir string, waits func()) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	told := false
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
		}
		if !told {
			waits()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(every):
		}
	}
}
