package netns

import (
	"context"

	"github.com/palisade-netpol/palisade/model"
)

// control makes the nodes of a session enforce policies.
type control interface {
	// apply returns once exactly these nodes and pods are filtered as a cluster says. The links of new pods are down.
	apply(ctx context.Context, c *model.Cluster, nodes []*node, pods []*pod) error
	// clear is apply for a cluster of nodes alone, between two uses of a session.
	clear(ctx context.Context, c *model.Cluster, nodes []*node) error
	// proxies reports whether the nodes of this control plane have somebody to translate Services.
	proxies() bool
	// leave is told that a pod ends, while its interface is still there.
	leave(ctx context.Context, p *pod) error
	// drop ends what works on a node, before the node goes.
	drop(n *node) error
	// close ends everything. What is enforced stays enforced.
	close() error
}
