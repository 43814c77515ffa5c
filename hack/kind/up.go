package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
	"github.com/palisade-netpol/palisade/hack/kind/docker"
	"github.com/palisade-netpol/palisade/hack/kind/gobuild"
)

// Up makes a cluster and returns when its nodes are ready and it resolves names. What it needs and does not find, it
// makes first; the log says what and for how long. When it fails, nothing of the cluster is left, unless o says so.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := awaitInotify(ctx, o.Workers+1); err != nil {
		return nil, err
	}
	c, err := newCluster(o.Name)
	if err != nil {
		return nil, err
	}
	lock, err := lockClusters(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	if err := c.findPlace(ctx, o.Log); err != nil {
		return nil, err
	}
	if err = c.up(ctx, o); err == nil {
		return c, nil
	}
	if !o.KeepFailed {
		err = errors.Join(err, c.down(context.WithoutCancel(ctx)))
	}
	return nil, err
}

// ErrExists means that there is a cluster of that name, or what is left of one.
var ErrExists = errors.New("the cluster is there already")

// findPlace finds a daemon for the cluster that does not have it yet.
func (c *Cluster) findPlace(ctx context.Context, log io.Writer) error {
	parameters, err := openSysctls()
	if err != nil {
		return err
	}
	if err := parameters.save(); err != nil {
		return err
	}
	if c.docker, err = docker.Ensure(ctx, log); err != nil {
		return err
	}
	containers, err := c.containers(ctx)
	if err == nil && len(containers) > 0 {
		err = fmt.Errorf("%s: %w", c.name, ErrExists)
	}
	if err != nil {
		return err
	}
	return os.MkdirAll(c.dir, 0o700)
}

// clusterLabel is kind's on the containers of a cluster; its value is the cluster's name.
const clusterLabel = "io.x-k8s.kind.cluster"

// containers lists the cluster's and those of hosts outside it, also those that have stopped.
func (c *Cluster) containers(ctx context.Context) ([]string, error) {
	var all []string
	for _, label := range []string{clusterLabel, outsideLabel} {
		list, err := c.docker.Output(ctx, "ps", "--all", "--quiet", "--filter", "label="+label+"="+c.name)
		if err != nil {
			return nil, err
		}
		all = append(all, strings.Fields(list)...)
	}
	return all, nil
}

// lockClusters lets one process at a time make or remove a cluster: the last one that goes stops the daemon.
func lockClusters(ctx context.Context) (*os.File, error) {
	dir, err := cache.Dir("clusters")
	if err != nil {
		return nil, err
	}
	return cache.Lock(ctx, dir+".lock")
}

// up makes the cluster in the daemon.
func (c *Cluster) up(ctx context.Context, o Options) error {
	image, err := c.ensureImage(ctx, o.Log)
	if err != nil {
		return fmt.Errorf("image of the nodes: %w", err)
	}
	start := time.Now()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{fmt.Sprintf("making 1 control plane and %d workers, for about a minute", o.Workers),
			func() error { return c.create(ctx, o, image) }},
		{"connecting pods", func() error { return c.connectPods(ctx, o.Workers+1) }},
		{"mounting BPF file systems", func() error { return c.mountBPF(ctx) }},
		{"waiting until nodes, kube-proxy and CoreDNS are ready", func() error { return c.awaitReady(ctx) }},
	} {
		fmt.Fprintf(o.Log, "%5s %s\n", time.Since(start).Round(time.Second), step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	fmt.Fprintf(o.Log, "%5s ready; kubeconfig: %s\n", time.Since(start).Round(time.Second), c.Kubeconfig())
	return nil
}

// create calls kind.
func (c *Cluster) create(ctx context.Context, o Options, image nodeImage) error {
	h, err := c.host(image)
	if err != nil {
		return err
	}
	config, err := o.config(h)
	if err != nil {
		return err
	}
	return c.kind(ctx, o.Log, bytes.NewReader(config), "create", "cluster", "--name", c.name, "--config", "-",
		"--image", image.name, "--kubeconfig", c.Kubeconfig(), fmt.Sprintf("--retain=%t", o.KeepFailed))
}

// host finds out about this machine.
func (c *Cluster) host(image nodeImage) (host, error) {
	h := host{apiServer: c.docker.Address()}
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	h.cgroupV1 = errors.Is(err, os.ErrNotExist)
	if image.built {
		return h, nil // it sees to OOM scores itself
	}
	h.keepOOMScores, err = docker.LacksSysResource()
	return h, err
}

// kind runs kind, and builds it first where that has not been done. An error quotes what it said.
func (c *Cluster) kind(ctx context.Context, log io.Writer, input io.Reader, args ...string) error {
	programs, err := gobuild.Build(ctx, log)
	if err != nil {
		return err
	}
	cmd, err := c.docker.Program(ctx, programs.Path("kind"), args...)
	if err != nil {
		return err
	}
	cmd.Stdin = input
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kind %s %s: %w\n%s", args[0], args[1], err, bytes.TrimSpace(out))
	}
	return nil
}

// mountBPF mounts a BPF file system in every node, where a kubelet on a machine of its own would find one.
func (c *Cluster) mountBPF(ctx context.Context) error {
	for _, node := range c.nodes {
		if _, err := c.docker.Exec(ctx, node.Name, nil, "sh", "-c",
			"mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf"); err != nil {
			return err
		}
	}
	return nil
}

// LoadArchive gives an image to all nodes: an OCI or Docker archive. Its path may be relative.
func (c *Cluster) LoadArchive(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return c.kind(ctx, io.Discard, nil, "load", "image-archive", path, "--name", c.name)
}
