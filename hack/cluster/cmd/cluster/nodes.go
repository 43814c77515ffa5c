package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
)

// maxNodes is how many nodes have a number that fits into their addresses.
const maxNodes = 250

// nodeState is what the owner tells others about a node.
type nodeState struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	// NetNS leads to the node's network namespace for as long as the cluster runs.
	NetNS string `json:"netns"`
}

// nodes are network namespaces that reach each other, each with a Node object and a kube-proxy. They live on descriptors
// of this process.
type nodes struct {
	fabric *fabric.Fabric
	wires  []*fabric.Node
	states []nodeState
}

// startNodes makes nodes node-1 to node-N and returns when their kube-proxies have programmed their first rules.
func startNodes(ctx context.Context, c *cluster.Cluster, number int) (*nodes, error) {
	n := &nodes{}
	if number == 0 {
		return n, nil
	}
	var err error
	if n.fabric, err = fabric.New(); err != nil {
		return nil, err
	}
	var group errgroup.Group
	for i := 1; i <= number; i++ {
		if err = n.add(ctx, c, i); err != nil {
			break
		}
		node := n.states[i-1]
		group.Go(func() error { return c.KubeProxy(ctx, node.NetNS, node.Name) })
	}
	if err := errors.Join(err, group.Wait()); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// add makes the node with a number.
func (n *nodes) add(ctx context.Context, c *cluster.Cluster, i int) error {
	s := nodeState{Name: fmt.Sprintf("node-%d", i), Addresses: []netip.Addr{
		netip.MustParseAddr(fmt.Sprintf("10.240.0.%d", i)), netip.MustParseAddr(fmt.Sprintf("fd00:10:240::%d", i)),
	}}
	wire, err := n.fabric.AddNode(s.Name, s.Addresses)
	if err != nil {
		return err
	}
	n.wires = append(n.wires, wire)
	s.NetNS = "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(wire.NS().FD())
	n.states = append(n.states, s)
	_, err = cluster.CreateNode(ctx, c.Client(), cluster.Node{
		Name: s.Name, Addresses: s.Addresses, PodCIDRs: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("10.240.%d.0/24", i)), netip.MustParsePrefix(fmt.Sprintf("fd00:10:240:%d::/64", i)),
		},
	})
	return err
}

// close lets go of the namespaces, which the kernel removes once no process is inside.
func (n *nodes) close() error {
	if n.fabric == nil {
		return nil
	}
	var errs []error
	for _, w := range n.wires {
		errs = append(errs, w.Release())
	}
	return errors.Join(append(errs, n.fabric.Close())...)
}
