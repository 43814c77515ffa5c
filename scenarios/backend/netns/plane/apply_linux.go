package plane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/model"
)

// convergence bounds how long a control plane may take to publish what a cluster comes to, a new leader included.
const convergence = time.Minute

// Published waits until the controllers have published what a cluster comes to, and returns the version for
// Agent.InForce. What it waits for is what package resolve says; whether that is right is not judged here.
func (p *Plane) Published(ctx context.Context, c *model.Cluster) (uint64, error) {
	want, problems := resolve.All(p.snapshot(c), resolve.Options{})
	if err := errors.Join(problems...); err != nil {
		return 0, fmt.Errorf("resolve policies: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, convergence)
	defer cancel()
	version, err := p.published.await(ctx, lacks(want))
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, p.cluster.LogTails())
	}
	return version, err
}

// snapshot is what the controllers see of a cluster.
func (p *Plane) snapshot(c *model.Cluster) *resolve.Snapshot {
	return &resolve.Snapshot{
		Namespaces: c.Namespaces, Pods: c.Pods, Services: slices.Concat(p.builtIn, c.Services),
		EndpointSlices: c.EndpointSlices, Policies: c.Policies,
	}
}
