package cluster

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// nsID tells network namespaces apart while something holds them.
type nsID struct{ dev, ino uint64 }

// errOwnNetNS is returned where a namespace other than that of this process is needed.
var errOwnNetNS = errors.New("is the network namespace of this process")

// childAttr makes children that die with their parent and that a terminal's Ctrl-C does not reach.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
}

// onThreadIn runs f on a thread of its own in a network namespace, or tells f why it cannot. The thread ends with
// f. The process's first thread is never taken, because its namespace is what /proc/PID/ns shows as the process's.
func onThreadIn(netns string, f func(error)) {
	go func() {
		runtime.LockOSThread() // never unlocked, so that the runtime discards the thread
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done := make(chan struct{})
			onThreadIn(netns, func(err error) {
				defer close(done)
				f(err)
			})
			<-done
			return
		}
		f(enter(netns))
	}()
}

// inNetNS runs f on a thread in a network namespace and returns its error.
func inNetNS(netns string, f func() error) error {
	result := make(chan error, 1)
	onThreadIn(netns, func(err error) {
		if err == nil {
			err = f()
		}
		result <- err
	})
	return <-result
}

// enter moves the calling thread.
func enter(netns string) error {
	if netns == "" {
		return nil
	}
	ns, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() { _ = ns.Close() }()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", netns, err)
	}
	return nil
}

// identify returns the identity of a network namespace other than that of this process.
func identify(netns string) (nsID, error) {
	id, err := statNS(netns)
	if err != nil {
		return nsID{}, err
	}
	// Any thread will do whose namespace nobody has changed. The first one, at /proc/self, may have been left elsewhere.
	var own nsID
	if err := inNetNS("", func() error { own, err = statNS("/proc/thread-self/ns/net"); return err }); err != nil {
		return nsID{}, err
	}
	if id == own {
		return nsID{}, fmt.Errorf("%s %w", netns, errOwnNetNS)
	}
	return id, nil
}

func statNS(path string) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nsID{}, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return nsID{dev: st.Dev, ino: st.Ino}, nil
}
