package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// networkTimeout is how long kubelets may take to register their nodes, and the control plane to give each of them
// addresses for pods.
const networkTimeout = 10 * time.Minute

// connectPods gives so many nodes their pod network.
func (c *Cluster) connectPods(ctx context.Context, nodes int) error {
	if err := c.awaitPodPrefixes(ctx, nodes); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodes {
		group.Go(func() error { return c.connectNode(ctx, node) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	return nil
}

// awaitPodPrefixes returns when there are so many nodes and each has been given addresses for its pods. kind does not
// wait for workers to register.
func (c *Cluster) awaitPodPrefixes(ctx context.Context, nodes int) error {
	return poll(ctx, networkTimeout, func(ctx context.Context) error {
		if err := c.readNodes(ctx); err != nil {
			return err
		}
		if len(c.nodes) < nodes {
			return fmt.Errorf("%d of %d nodes have registered", len(c.nodes), nodes)
		}
		for _, node := range c.nodes {
			if len(node.Pods) == 0 {
				return fmt.Errorf("node %s has no addresses for pods", node.Name)
			}
		}
		return nil
	})
}

// connectNode makes routes to the pods of the other nodes, and then writes the configuration that makes the node ready.
func (c *Cluster) connectNode(ctx context.Context, node Node) error {
	routes, err := routes(node, c.nodes)
	if err != nil {
		return err
	}
	if _, err := c.docker.Exec(ctx, node.Name, strings.NewReader(routes), "ip", "-batch", "-"); err != nil {
		return err
	}
	config, err := conflist(node.Pods)
	if err != nil {
		return err
	}
	// containerd watches the folder, but passes over files that are new there; what makes it look is the renaming.
	_, err = c.docker.Exec(ctx, node.Name, strings.NewReader(config), "sh", "-c",
		"mkdir -p /etc/cni/net.d && cd /etc/cni/net.d && cat >pods && mv pods 10-pods.conflist")
	return err
}

// routes are the commands for ip(8) with which a node reaches the pods of all others.
func routes(from Node, nodes []Node) (string, error) {
	var commands strings.Builder
	for _, to := range nodes {
		if to.Name == from.Name {
			continue
		}
		for _, pods := range to.Pods {
			via, err := to.addressFor(pods)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&commands, "route replace %s via %s\n", pods, via)
		}
	}
	return commands.String(), nil
}

// addressFor is the node's address of the same family as a prefix.
func (n Node) addressFor(prefix netip.Prefix) (netip.Addr, error) {
	for _, a := range n.Addresses {
		if a.Is4() == prefix.Addr().Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s has pods in %s, but no address of that family", n.Name, prefix)
}

// The configuration of CNI plugins, https://github.com/containernetworking/cni/blob/spec-v1.0.0/SPEC.md.
type (
	network struct {
		Version string   `json:"cniVersion"`
		Name    string   `json:"name"`
		Plugins []plugin `json:"plugins"`
	}
	plugin struct {
		Type         string          `json:"type"`
		IPAM         *ipam           `json:"ipam,omitempty"`
		Capabilities map[string]bool `json:"capabilities,omitempty"`
	}
	ipam struct {
		Type   string    `json:"type"`
		Ranges [][]block `json:"ranges"`
		Routes []route   `json:"routes"`
	}
	block struct {
		Subnet netip.Prefix `json:"subnet"`
	}
	route struct {
		Destination netip.Prefix `json:"dst"`
	}
)

// conflist is the CNI configuration of a node. Each pod gets a veth pair to the node, an address of each prefix, and
// the node as its gateway. Addresses are not translated between nodes, since policies are about them.
func conflist(pods []netip.Prefix) (string, error) {
	addresses := ipam{Type: "host-local"}
	for _, prefix := range pods {
		addresses.Ranges = append(addresses.Ranges, []block{{prefix}})
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if prefix.Addr().Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		addresses.Routes = append(addresses.Routes, route{everything})
	}
	config := network{Version: "1.0.0", Name: "pods", Plugins: []plugin{
		{Type: "ptp", IPAM: &addresses},
		{Type: "portmap", Capabilities: map[string]bool{"portMappings": true}}, // hostPort
	}}
	data, err := json.MarshalIndent(config, "", "  ")
	return string(data) + "\n", err
}
