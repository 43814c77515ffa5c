package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// node is a running node: its namespace, its agent and its translation of Services.
type node struct {
	spec      nodeSpec
	wire      *fabric.Node
	agent     NodeAgent
	table     *service.Table
	frontends []service.Frontend
}

// newNode makes a node whose agent keeps its pins in a directory.
func newNode(ctx context.Context, o Options, f *fabric.Fabric, spec nodeSpec, pins string) (*node, error) {
	wire, err := f.AddNode(spec.name, spec.addrs)
	if err != nil {
		return nil, err
	}
	table, err := service.Open(wire.NS().FD())
	if err != nil {
		return nil, errors.Join(err, wire.Remove())
	}
	n := &node{spec: spec, wire: wire, table: table}
	if n.agent, err = n.open(ctx, o, pins); err != nil {
		return nil, errors.Join(fmt.Errorf("open the agent: %w", err), table.Close(), wire.Remove())
	}
	return n, nil
}

func (n *node) open(ctx context.Context, o Options, pins string) (a NodeAgent, err error) {
	config := o.Agent
	config.Pins, config.NodeAddrs, config.Log = pins, n.spec.addrs, o.Log.With("node", n.spec.name)
	err = n.wire.NS().Do(func() error {
		a, err = o.OpenAgent(ctx, config)
		return err
	})
	return a, err
}

func (n *node) enforce(ctx context.Context, pods []*pod, endpoints []*v1alpha1.PolicyEndpoint) error {
	local := make([]agent.Pod, len(pods))
	for i, p := range pods {
		local[i] = p.forAgent()
	}
	return n.wire.NS().Do(func() error { return n.agent.Apply(ctx, local, endpoints) })
}

func (n *node) serve(p service.Proxy) error {
	frontends, err := p.Frontends()
	if err != nil {
		return err
	}
	n.frontends = frontends
	return n.table.Set(frontends)
}

// targets are where a connection from this node to an address arrives: there, or at the endpoints of its Service.
func (n *node) targets(proto flow.Protocol, to netip.AddrPort) []netip.AddrPort {
	for _, f := range n.frontends {
		if f.Protocol == proto && f.Addr == to {
			return f.Endpoints
		}
	}
	return []netip.AddrPort{to}
}

func (n *node) close() error {
	closeAgent := func() error { return n.agent.Close() }
	return errors.Join(n.wire.NS().Do(closeAgent), n.table.Close(), n.wire.Remove())
}

// pod is a running pod.
type pod struct {
	spec podSpec
	node *node
	wire *fabric.Pod
	up   bool
}

func (p *pod) forAgent() agent.Pod {
	return agent.Pod{
		Namespace: p.spec.namespace, Name: p.spec.name, UID: p.spec.uid, Addrs: p.spec.addrs,
		Ifindex: uint32(p.wire.Ifindex()),
	}
}

// connect sets the pod's link up, once.
func (p *pod) connect() error {
	if p.up {
		return nil
	}
	if err := p.wire.Up(); err != nil {
		return err
	}
	p.up = true
	return nil
}
