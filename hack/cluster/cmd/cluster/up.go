package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/command"
)

// upFlags are what "up" can be told.
type upFlags struct {
	options    cluster.Options
	nodes      int
	foreground bool
	detachTo   string
}

func parseUp(s command.Streams, args []string) (upFlags, error) {
	var f upFlags
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(s.Err)
	flags.StringVar(&f.options.BinDir, "bin-dir", "", "`directory` of the programs, instead of looking for them")
	flags.IntVar(&f.nodes, "nodes", 0, "`number` of nodes: network namespaces, each with a kube-proxy (as root, with nft)")
	flags.BoolVar(&f.foreground, "foreground", false, "stay and stop the cluster on Ctrl-C")
	flags.StringVar(&f.detachTo, "detach-to", "", "with -foreground: write to this `file` once the cluster is ready")
	list := func(name, usage string, add func(string) error) { flags.Func(name, usage+" (may be repeated)", add) }
	list("manifest", "YAML `file` to apply", appendTo(&f.options.Manifests))
	list("controller", "`name` of a further controller to run", appendTo(&f.options.Controllers))
	list("apiserver-arg", "further `flag` of kube-apiserver", appendTo(&f.options.APIServerArgs))
	list("service-cidr", "`range` of ClusterIPs, the primary family first", func(word string) error {
		prefix, err := netip.ParsePrefix(word)
		f.options.ServiceCIDRs = append(f.options.ServiceCIDRs, prefix)
		return err
	})
	if err := command.Parse(flags, args); err != nil {
		return f, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(s.Err, "up takes no arguments, got %q\n", flags.Args())
		return f, command.ErrUsage
	}
	if f.nodes < 0 || f.nodes > maxNodes {
		fmt.Fprintf(s.Err, "-nodes must be from 0 to %d, not %d\n", maxNodes, f.nodes)
		return f, command.ErrUsage
	}
	return f, nil
}

func appendTo(words *[]string) func(string) error {
	return func(word string) error {
		*words = append(*words, word)
		return nil
	}
}

// up starts the cluster here, or in a process of its own that runs "up -foreground".
func up(ctx context.Context, s command.Streams, i instance, args []string) error {
	f, err := parseUp(s, args)
	if err != nil {
		return err
	}
	f.options.Progress = s.Err
	if f.foreground {
		return own(ctx, s, i, f)
	}
	if err := detach(ctx, s, i, args); err != nil {
		return err
	}
	return status(s, i)
}

// detach starts the owner and returns when its cluster is ready. Until then the owner's stderr is a pipe that is passed
// on to ours; when it ends, the owner is either ready or dead.
func detach(ctx context.Context, s command.Streams, i instance, args []string) error {
	if _, err := i.running(); !errors.Is(err, errNotRunning) {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	owner := exec.Command(self, append([]string{"up", "-foreground", "-detach-to", i.logPath()}, args...)...)
	owner.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stderr, err := owner.StderrPipe()
	if err != nil {
		return err
	}
	if err := owner.Start(); err != nil {
		return fmt.Errorf("start the owner of the cluster: %w", err)
	}
	interrupted := context.AfterFunc(ctx, func() { _ = owner.Process.Signal(unix.SIGTERM) })
	defer interrupted() // from then on it lives without us
	if _, err := io.Copy(s.Err, stderr); err != nil {
		return fmt.Errorf("start the owner of the cluster: %w", err)
	}
	if _, err := i.running(); errors.Is(err, errNotRunning) {
		return errors.New("the cluster did not start")
	}
	return nil
}

// own runs the cluster in this process until ctx is done.
func own(ctx context.Context, s command.Streams, i instance, f upFlags) (err error) {
	lock, err := i.acquire()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	start := time.Now()
	c, err := cluster.Start(ctx, f.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(), remove(i.statePath())) }()
	n, err := startNodes(ctx, c, f.nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(), n.close()) }() // their processes first
	if err := announce(c, i, n.states); err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "ready after %s\n", time.Since(start).Round(10*time.Millisecond))
	if f.detachTo != "" {
		if err := redirectStderr(f.detachTo); err != nil {
			return err
		}
	}
	return c.Wait(ctx)
}

// remove deletes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// announce publishes where the cluster is.
func announce(c *cluster.Cluster, i instance, nodes []nodeState) error {
	kubeconfig, err := c.Kubeconfig("palisade-admin", []string{"system:masters"})
	if err != nil {
		return err
	}
	version, err := c.Client().Discovery().ServerVersion()
	if err != nil {
		return err
	}
	return i.publish(state{
		PID:        os.Getpid(),
		Version:    strings.TrimPrefix(version.GitVersion, "v"),
		URL:        c.URL(),
		Kubeconfig: kubeconfig,
		Dir:        c.Dir(),
		BinDir:     c.Binaries().Dir,
		Nodes:      nodes,
	})
}

// redirectStderr lets everything that this process writes to stderr go to a file.
func redirectStderr(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Dup3(int(f.Fd()), unix.Stderr, 0)
}
