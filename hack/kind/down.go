package kind

import (
	"context"
	"errors"
	"fmt"
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
	defer func() { _ = lock.Close() }()
	return c.down(ctx)
}

// Down removes a cluster by name, also one that is broken, or whose daemon was killed. The name may be empty for the
// default one.
func Down(ctx context.Context, name string) error {
	c, err := newCluster(name)
	if err != nil {
		return err
	}
	return c.Down(ctx)
}

func (c *Cluster) down(ctx context.Context) error {
	var err error
	c.docker, err = docker.Revive(ctx)
	if err == nil {
		err = c.removeContainers(ctx)
	} else if errors.Is(err, docker.ErrNone) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("remove cluster %s: %w", c.name, err)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	return c.leave(ctx)
}

// removeContainers removes the nodes and their volumes.
func (c *Cluster) removeContainers(ctx context.Context) error {
	containers, err := c.containers(ctx)
	if err != nil || len(containers) == 0 {
		return err
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		_, err := c.docker.Output(ctx, append([]string{"rm", "--force", "--volumes"}, containers...)...)
		if err == nil || attempt == attempts || ctx.Err() != nil {
			return err
		}
		if thawErr := c.docker.Thaw(); thawErr != nil {
			return errors.Join(err, thawErr)
		}
	}
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
