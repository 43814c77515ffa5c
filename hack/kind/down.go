package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/palisade-netpol/palisade/hack/kind/docker"
)

// Down removes the cluster, and stops the daemon that Up started once there is no cluster left. Only what was expensive
// to make stays, in the user's cache directory. It may be called more than once.
func (c *Cluster) Down(ctx context.Context) error {
	lock, err := lockClusters(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	return c.down(ctx)
}

// Down removes a cluster by name, also one that is broken, or whose daemon was killed. The name may be empty for the
// default one.
func Down(ctx context.Context, name string, log io.Writer) error {
	c, err := openStopped(ctx, Options{Name: name}.withDefaults().Name, log)
	if err != nil {
		return err
	}
	return c.Down(ctx)
}

func (c *Cluster) down(ctx context.Context) error {
	d, err := docker.Find(ctx)
	if err == nil {
		c.docker = d
		err = c.kind(ctx, nil, "delete", "cluster", "--name", c.name, "--kubeconfig", c.Kubeconfig())
	} else if errors.Is(err, docker.ErrNone) {
		err = nil // what a daemon that was killed has left is removed below
	}
	if err != nil {
		return fmt.Errorf("remove cluster %s: %w", c.name, err)
	}
	if err := os.Remove(c.Kubeconfig()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return c.leave(ctx)
}

// leave stops the daemon and restores the kernel's parameters, unless another cluster is there.
func (c *Cluster) leave(ctx context.Context) error {
	if c.docker != nil {
		containers, err := c.docker.Output(ctx, "ps", "--all", "--quiet", "--filter", "label="+clusterLabel)
		if err != nil {
			return err
		}
		if containers != "" {
			return nil
		}
	}
	parameters, err := openSysctls()
	if err != nil {
		return err
	}
	return errors.Join(docker.StopOwned(ctx), parameters.restore())
}
