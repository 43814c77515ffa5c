package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// planeFlags say what control plane namespaces have.
type planeFlags struct {
	controlPlane    string
	kubernetes      string
	killLeaderAfter int
	nodes           int
}

// Clusters that may wait for the next scenario: nodes and agents are cheap to keep, API servers are not.
const (
	idleInMemory  = 12
	idleProcesses = 2
)

func (f *planeFlags) register(c *cobra.Command) {
	choice(c, &f.controlPlane, "control-plane", "", string(netns.Auto), string(netns.Processes), string(netns.Memory))
	c.Flags().StringVar(&f.kubernetes, "kubernetes", "",
		"`FOLDER` with etcd, kube-apiserver, kube-controller-manager and kube-proxy")
	c.Flags().IntVar(&f.killLeaderAfter, "kill-leader-after", 0,
		"kill the leading controller of every cluster after so many changes (0: never)")
	c.Flags().IntVar(&f.nodes, "nodes", 2, "nodes of scenarios that name none")
}

// prepare gives the backend netns the control plane that was asked for, and returns a sentence about it. A backend that
// makes its cluster makes it now; others stay as they are.
func (f *planeFlags) prepare(ctx context.Context, b backend.Backend) (backend.Backend, string, error) {
	if starter, ok := b.(interface{ Start(context.Context) error }); ok {
		if err := starter.Start(ctx); err != nil {
			return nil, "", failf("backend %s: %w", b.Name(), err)
		}
		return b, "", nil
	}
	changeable, ok := b.(interface {
		With(netns.Options) backend.Backend
	})
	if !ok {
		return b, "", nil
	}
	o, why, err := netns.Choose(ctx, netns.Options{
		ControlPlane: netns.ControlPlane(f.controlPlane), Kubernetes: f.kubernetes, KillLeaderAfter: f.killLeaderAfter,
	})
	if err != nil {
		return nil, "", err
	}
	o.Idle = idleInMemory
	if o.ControlPlane == netns.Processes {
		o.Idle = idleProcesses
	}
	return changeable.With(o), ", " + why, nil
}

// closeBackend takes down what a backend keeps for later.
func closeBackend(b backend.Backend) error {
	if c, ok := b.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
