// Package kind is the backend that makes a cluster of its own: it boots one with hack/kind, builds the images of this
// source tree with hack/images and loads them, installs the plain manifests, which need no setting for kind, and then is
// backend cluster. In the end it removes the cluster.
//
// These tools are run, not linked: they need the source tree and a Docker daemon anyway, and a palisade command that
// somebody installs should carry neither Docker's nor a registry's client.
package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/deploy"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
)

// Options say which cluster to make. The zero value is a usable one.
type Options struct {
	Name     string // of the cluster; "" means "palisade-scenarios"
	Workers  int    // 0 means 2
	IPFamily string // ipv4, ipv6 or dual; "" means ipv4
	// Keep leaves the cluster as it is in the end.
	Keep bool
	// Cluster says how scenarios use it; Config is not needed.
	Cluster cluster.Options
	// Log is told what is done and how long it may take; nil means nobody.
	Log io.Writer
}

// Backend is a cluster that is there from Start to Close.
type Backend struct {
	*cluster.Backend
	opts Options
	up   bool
	dir  string // of what is built for a run
	tool string // hack/kind's command, in there
}

// New returns the backend. Nothing is made yet.
func New(o Options) *Backend {
	if o.Name == "" {
		o.Name = "palisade-scenarios"
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.IPFamily == "" {
		o.IPFamily = "ipv4"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return &Backend{opts: o}
}

// Name returns "kind".
func (*Backend) Name() string { return "kind" }

// Available reports whether the tools are there.
func (*Backend) Available() error {
	if os.Geteuid() != 0 {
		return errors.New("backend kind needs root, to run containers and what is in them")
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("backend kind needs Go, to build the images of this source tree")
	}
	if _, err := os.Stat(filepath.Join("hack", "kind", "cmd", "kind")); err != nil {
		return errors.New("backend kind runs in the source tree of Palisade, whose tools make the cluster")
	}
	return nil
}

// Start makes the cluster and installs Palisade in it. If that fails nothing is left.
func (b *Backend) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, b.down())
		}
	}()
	if err := b.buildTool(ctx); err != nil {
		return err
	}
	if err := b.make(ctx, filepath.Join(b.dir, "images")); err != nil {
		return err
	}
	kubeconfig, err := b.kind(ctx, "kubeconfig")
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", strings.TrimSpace(kubeconfig))
	if err != nil {
		return fmt.Errorf("kubeconfig of cluster %s: %w", b.opts.Name, err)
	}
	if err := install(ctx, config, deploy.Install, b.opts.Log); err != nil {
		return fmt.Errorf("install Palisade: %w", err)
	}
	b.opts.Cluster.Config, b.opts.Cluster.Outside = config, outside{b}
	b.Backend, err = cluster.New(b.opts.Cluster)
	return err
}

// buildTool builds the command that makes clusters and hosts outside them, since it is called often.
func (b *Backend) buildTool(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "palisade-kind-"); err != nil {
		return err
	}
	b.tool = filepath.Join(b.dir, "kind")
	_, err = b.run(ctx, "go", "build", "-o", b.tool, "./hack/kind/cmd/kind")
	return err
}

// make boots the cluster, builds the images meanwhile, and loads them.
func (b *Backend) make(ctx context.Context, images string) error {
	b.up = true
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := b.kind(both, "up", "--workers", strconv.Itoa(b.opts.Workers), "--ip-family", b.opts.IPFamily)
		return err
	})
	group.Go(func() error {
		_, err := b.run(both, "go", "run", "./hack/images", "-o", images, "-image", "agent,controller,probe")
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(images, "*.tar"))
	if err != nil {
		return err
	}
	_, err = b.kind(ctx, "load", archives...)
	return err
}

// kind runs a command of hack/kind about the cluster.
func (b *Backend) kind(ctx context.Context, command string, args ...string) (string, error) {
	return b.run(ctx, b.tool, append([]string{command, "--name", b.opts.Name}, args...)...)
}

// run runs a tool and returns its standard output.
func (b *Backend) run(ctx context.Context, tool string, args ...string) (string, error) {
	c := b.command(ctx, tool, args...)
	c.Stderr = b.opts.Log
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", filepath.Base(tool), strings.Join(args, " "), err)
	}
	return string(out), nil
}

// command is a call of a tool that is interrupted, not killed, when ctx ends, so that it can clean up.
func (b *Backend) command(ctx context.Context, tool string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, tool, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 2 * time.Minute
	return c
}

// Close removes the cluster, whatever is left in it.
func (b *Backend) Close() error {
	if !b.opts.Keep {
		return b.down()
	}
	var err error
	if b.Backend != nil {
		err = b.Backend.Close()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// farewell bounds how long the removal of a cluster may take.
const farewell = 5 * time.Minute

func (b *Backend) down() (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if !b.up {
		return nil
	}
	b.up = false
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_, err = b.kind(ctx, "down")
	return err
}
