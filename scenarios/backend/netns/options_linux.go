package netns

import (
	"context"
	"log/slog"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// NodeAgent enforces policies on one node. Its methods are called on a thread inside the node's namespace, one at a time.
type NodeAgent interface {
	// Apply returns once exactly these pods are filtered by exactly these policies.
	Apply(ctx context.Context, pods []agent.Pod, endpoints []*v1alpha1.PolicyEndpoint) error
	Close() error
}

// OpenAgent opens the agent of one node, on a thread inside the node's namespace.
type OpenAgent func(context.Context, agent.Config) (NodeAgent, error)

// Options change how clusters are run. The zero value is the real thing.
type Options struct {
	// OpenAgent replaces the agent of every node; default: agent.Open.
	OpenAgent OpenAgent
	// Idle is how many clusters may wait for the next Open, with their nodes and agents, until the process ends; 0: none.
	Idle int
	// Agent is the configuration of every agent, but for what depends on the node: pins, addresses and a log attribute.
	Agent agent.Config
}

func (o Options) withDefaults() Options {
	if o.OpenAgent == nil {
		o.OpenAgent = func(ctx context.Context, c agent.Config) (NodeAgent, error) { return agent.Open(ctx, c) }
	}
	if o.Agent.Log == nil {
		o.Agent.Log = slog.Default()
	}
	return o
}
