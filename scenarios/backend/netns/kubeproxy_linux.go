package netns

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/model"
)

// proxyPatience bounds how long a kube-proxy may take to start, and to program what it is to know.
const proxyPatience = time.Minute

// proxies is true: every node has a kube-proxy, from the first Service on that a cluster has.
func (p *processes) proxies() bool { return true }

// proxy waits until every node translates the Services of a cluster. A cluster without any waits only for those before
// it to be forgotten.
func (p *processes) proxy(ctx context.Context, c *model.Cluster, nodes []*node) error {
	before := p.served
	p.served = len(c.Services) > 0
	if !p.served && !before {
		return nil
	}
	var mark string
	var group errgroup.Group
	group.Go(func() (err error) { mark, err = p.plane.Mark(ctx, c); return err })
	group.Go(func() error { return p.startProxies(ctx, nodes) })
	if err := group.Wait(); err != nil {
		return err
	}
	return p.await(ctx, nodes, mark)
}

// startProxies starts a kube-proxy on every node that has none.
func (p *processes) startProxies(ctx context.Context, nodes []*node) error {
	ctx, cancel := context.WithTimeout(ctx, proxyPatience)
	defer cancel()
	fresh := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return p.proxied[n] })
	for _, n := range fresh {
		p.proxied[n] = true
	}
	return eachNode(fresh, func(n *node) error {
		return p.plane.Cluster().KubeProxy(ctx, fmt.Sprintf("/proc/self/fd/%d", n.wire.NS().FD()), n.spec.name)
	})
}

// await waits until the kube-proxies of all nodes have come to a mark.
func (p *processes) await(ctx context.Context, nodes []*node, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, proxyPatience)
	defer cancel()
	err := eachNode(nodes, func(n *node) error { return n.table.AwaitKubeProxy(ctx, mark, n.families()) })
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, p.plane.Cluster().LogTails())
	}
	return err
}
