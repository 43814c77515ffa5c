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
	pins      string
	agent     NodeAgent // nil until the first Apply
	table     *service.Table
	frontends []service.Frontend
}

// newNode makes a node whose agent is not open yet and will keep its pins in a directory.
func newNode(f *fabric.Fabric, spec nodeSpec, pins string) (*node, error) {
	wire, err := f.AddNode(spec.name, spec.addrs)
	if err != nil {
		return nil, err
	}
	table, err := service.Open(wire.NS().FD())
	if err != nil {
		return nil, errors.Join(err, wire.Remove())
	}
	return &node{spec: spec, wire: wire, table: table, pins: pins}, nil
}

// enforce makes the agent, which is opened by the first call, filter exactly these pods.
func (n *node) enforce(ctx context.Context, o Options, pods []*pod, endpoints []*v1alpha1.PolicyEndpoint) error {
	local := make([]agent.Pod, len(pods))
	for i, p := range pods {
		local[i] = p.forAgent()
	}
	return n.wire.NS().Do(func() error {
		if err := n.open(ctx, o); err != nil {
			return fmt.Errorf("open the agent: %w", err)
		}
		return n.agent.Apply(ctx, local, endpoints)
	})
}

// open opens the agent unless it is. It runs inside the node's namespace.
func (n *node) open(ctx context.Context, o Options) error {
	if n.agent != nil {
		return nil
	}
	config := o.Agent
	config.Pins, config.NodeAddrs, config.Log = n.pins, n.spec.addrs, o.Agent.Log.With("node", n.spec.name)
	a, err := o.OpenAgent(ctx, config)
	if err != nil {
		return err
	}
	n.agent = a
	return nil
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

// close closes what works on the namespace, not the namespace.
func (n *node) close() error {
	err := n.table.Close()
	if n.agent != nil {
		err = errors.Join(n.wire.NS().Do(n.agent.Close), err)
	}
	return err
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
