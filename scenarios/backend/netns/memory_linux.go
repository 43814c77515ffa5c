package netns

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/model"
)

// memory is the control plane without an API server: what the controller would publish is handed to the agents in this
// process.
type memory struct {
	opts   Options
	mu     sync.Mutex
	agents map[*node]NodeAgent
}

func (m *memory) apply(ctx context.Context, c *model.Cluster, nodes []*node, pods []*pod) error {
	endpoints, problems := resolve.All(&resolve.Snapshot{
		Namespaces: c.Namespaces, Pods: c.Pods, Services: c.Services, EndpointSlices: c.EndpointSlices,
		Policies: c.Policies,
	}, resolve.Options{})
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("resolve policies: %w", err)
	}
	return eachNode(nodes, func(n *node) error { return m.enforce(ctx, n, podsOn(n, pods), endpoints) })
}

func (m *memory) clear(ctx context.Context, c *model.Cluster, nodes []*node) error {
	return m.apply(ctx, c, nodes, nil)
}

// enforce makes the agent of a node, which is opened by the first call, filter exactly these pods.
func (m *memory) enforce(ctx context.Context, n *node, pods []*pod, endpoints []*v1alpha1.PolicyEndpoint) error {
	local := make([]agent.Pod, len(pods))
	for i, p := range pods {
		local[i] = agent.Pod{
			Namespace: p.spec.namespace, Name: p.spec.name, UID: p.spec.uid, Addrs: p.spec.addrs,
			Ifindex: uint32(p.wire.Ifindex()),
		}
	}
	return n.wire.NS().Do(func() error {
		a, err := m.open(ctx, n)
		if err != nil {
			return fmt.Errorf("open the agent: %w", err)
		}
		return a.Apply(ctx, local, endpoints)
	})
}

// open opens the agent of a node unless it is. It runs inside the node's namespace.
func (m *memory) open(ctx context.Context, n *node) (NodeAgent, error) {
	m.mu.Lock()
	a := m.agents[n]
	m.mu.Unlock()
	if a != nil {
		return a, nil
	}
	config := m.opts.Agent
	config.Pins, config.NodeAddrs, config.Log = n.pins, n.spec.addrs, m.opts.Agent.Log.With("node", n.spec.name)
	a, err := m.opts.OpenAgent(ctx, config)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agents[n] = a
	return a, nil
}

func (m *memory) proxies() bool { return false }

func (m *memory) leave(context.Context, *pod) error { return nil }

func (m *memory) drop(n *node) error {
	m.mu.Lock()
	a := m.agents[n]
	delete(m.agents, n)
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	return n.wire.NS().Do(a.Close)
}

// close has nothing to do: every agent ends with its node.
func (m *memory) close() error { return nil }
