package ns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// current is the namespace of the thread that opens it.
const current = "/proc/thread-self/ns/net"

// NS is a network namespace without a name, or that of the process. Its methods are safe for concurrent use, except Close.
type NS struct {
	file *os.File // nil for that of the process
}

// Own returns the namespace that the process lives in: there is nothing to enter and nothing to let go of.
func Own() *NS { return &NS{} }

// New makes a namespace that holds nothing but a loopback interface that is down. It needs CAP_SYS_ADMIN.
func New() (*NS, error) {
	var n *NS
	unshare := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("create a network namespace: %w", err)
		}
		return nil
	}
	err := elsewhere(unshare, func() error {
		f, err := os.Open(current)
		if err != nil {
			return fmt.Errorf("hold a network namespace: %w", err)
		}
		n = &NS{file: f}
		return nil
	})
	return n, err
}

// FD is the descriptor of the namespace, valid until Close; that of the process has none.
func (n *NS) FD() int { return int(n.file.Fd()) }

// Close lets go of the namespace: the kernel removes it once its last socket is closed.
func (n *NS) Close() error {
	if n.file == nil {
		return nil
	}
	if err := n.file.Close(); err != nil {
		return fmt.Errorf("close a network namespace: %w", err)
	}
	return nil
}

// Do runs f on a thread inside the namespace and returns f's error. Calls may be nested.
func (n *NS) Do(f func() error) error {
	if n.file == nil {
		return f()
	}
	enter := func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return nil
	}
	return elsewhere(enter, f)
}

// elsewhere runs f where leave has taken the thread, which returns to its own namespace afterwards. A thread that cannot
// return stays locked, so that it ends with its goroutine and runs nobody else's code.
func elsewhere(leave, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(current)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("hold the own network namespace: %w", err)
	}
	defer func() { _ = home.Close() }()
	if err := leave(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("return to the own network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
