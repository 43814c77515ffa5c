package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/agent/lock"
	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
)

// agentPoll is how often an agent that ends is asked whether it is still there.
const agentPoll = 200 * time.Millisecond

func runRemove(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("remove", flag.ContinueOnError)
	pins := f.String("pins", "/sys/fs/bpf/palisade", "`directory` of the agent's pins")
	confDir := f.String("conf-dir", "/etc/cni/net.d", "`directory` of network configurations")
	socketPath := f.String("socket", "/run/palisade/agent.sock", "`path` of the agent's socket")
	wait := f.Duration("wait", time.Minute, "how long to wait for an agent to end")
	if err := parse(f, args, out); err != nil {
		return err
	}
	held, err := awaitEnd(ctx, *socketPath, *pins, *wait)
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	// The configuration first: a pod that starts from now on does not ask for an agent. The plugin stays: runtimes that
	// keep the configuration with which a pod was started, such as CRI-O, need it to end that pod.
	return errors.Join(
		remove(out, filepath.Join(*confDir, configName)),
		removePins(out, *pins),
		remove(out, *socketPath), // left by an agent that was killed
	)
}

// errRunning means that an agent would put back what is taken off.
var errRunning = errors.New("an agent still runs on this node: delete the DaemonSet palisade-agent first")

// awaitEnd waits until no agent answers, and none works on the pins, be it one that hangs, starts or is about to end.
// It keeps others off them until what it returns is closed.
func awaitEnd(ctx context.Context, path, pins string, wait time.Duration) (io.Closer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := awaitSilence(ctx, path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(pins); errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	held, err := lock.Take(ctx, pins, func() {})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, errRunning
	}
	return held, err
}

func awaitSilence(ctx context.Context, path string) error {
	ticker := time.NewTicker(agentPoll)
	defer ticker.Stop()
	for {
		call, done := context.WithTimeout(ctx, time.Second)
		_, err := socket.Call(call, path, socket.Request{Command: socket.Status})
		done()
		if errors.Is(err, socket.ErrDown) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errRunning
		}
	}
}

// remove deletes a file, if it is there.
func remove(out io.Writer, path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		fmt.Fprintf(out, "removed %s\n", path)
	}
	return err
}

// removePins takes the filters off all interfaces of this network namespace, and forgets the tables.
func removePins(out io.Writer, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	detached, err := detachAll(dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	fmt.Fprintf(out, "took filters off %d interfaces, and removed %s\n", detached, dir)
	return nil
}

func detachAll(dir string) (detached int, err error) {
	node, err := bpf.Open(bpf.Options{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	hooks := hook.Hooks{Node: node}
	all, err := hooks.LookAll()
	if err != nil {
		return 0, err
	}
	for index, seen := range all {
		if err := hooks.Detach(index); err != nil { // even if there is half of it only
			return detached, err
		}
		if err := hostnet.Open(index); err != nil { // strict mode takes down what it cannot filter
			return detached, err
		}
		if seen.State != hook.Bare {
			detached++
		}
	}
	return detached, nil
}
