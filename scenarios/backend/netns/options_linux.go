package netns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/hack/cluster"
)

// NodeAgent enforces policies on one node. Its methods are called on a thread inside the node's namespace, one at a time.
type NodeAgent interface {
	// Apply returns once exactly these pods are filtered by exactly these policies.
	Apply(ctx context.Context, pods []agent.Pod, endpoints []*v1alpha1.PolicyEndpoint) error
	Close() error
}

// OpenAgent opens the agent of one node, on a thread inside the node's namespace.
type OpenAgent func(context.Context, agent.Config) (NodeAgent, error)

// Options change how clusters are run. The zero value is the real datapath without an API server.
type Options struct {
	// ControlPlane is Memory or Processes; default: Memory. See Choose for Auto.
	ControlPlane ControlPlane
	// OpenAgent replaces the agent of every node, with Memory; default: agent.Open.
	OpenAgent OpenAgent
	// Idle is how many clusters may wait for the next Open, with their nodes and agents, until Close; 0: none. With
	// Processes, which take long to start, it is also how many clusters there are at most: others wait.
	Idle int
	// Agent is the configuration of every agent, but for what depends on the node: pins, addresses and a log attribute.
	Agent agent.Config
	// Kubernetes is the directory of the programs of Kubernetes; default: where package cluster finds them.
	Kubernetes string
	// Programs is the directory of palisade-controller and palisade-agent; default: that of this program, else of PATH.
	Programs string
	// KillLeaderAfter is how often a cluster is applied until its leading controller is killed, with Processes; 0: never.
	KillLeaderAfter int
	// Hosted publishes policies as the controller does that EKS hosts, instead of running ours, with Processes.
	Hosted bool
}

func (o Options) withDefaults() Options {
	if o.ControlPlane == "" {
		o.ControlPlane = Memory
	}
	if o.OpenAgent == nil {
		o.OpenAgent = func(ctx context.Context, c agent.Config) (NodeAgent, error) { return agent.Open(ctx, c) }
	}
	if o.Agent.Log == nil {
		o.Agent.Log = slog.Default()
	}
	return o
}

// Choose returns o with Auto replaced by what can run here, and a sentence that says what was chosen and why. An error says
// what is missing for what was asked for.
func Choose(ctx context.Context, o Options) (Options, string, error) {
	if o.ControlPlane == Memory {
		return o, "without an API server, as asked for", nil
	}
	missing := o.lacks(ctx)
	switch {
	case missing == nil:
		o.ControlPlane = Processes
		return o, "with the real control plane", nil
	case o.ControlPlane == Processes:
		return o, "", fmt.Errorf("control plane of processes: %w", missing)
	}
	o.ControlPlane = Memory
	return o, fmt.Sprintf("without an API server (%v)", missing), nil
}

// lacks says what is missing for Processes.
func (o Options) lacks(ctx context.Context) error {
	_, err := cluster.Find(ctx, cluster.FindOptions{Dir: o.Kubernetes})
	if errors.Is(err, cluster.ErrNotBuilt) {
		return fmt.Errorf("%w; `go run ./hack/cluster/cmd/cluster build` builds them, in about 9 minutes", err)
	}
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return fmt.Errorf("kube-proxy needs nft of the package nftables: %w", err)
	}
	_, err = o.programs()
	return err
}

// ourPrograms are those that Processes runs.
func ourPrograms() []string { return []string{"palisade-controller", "palisade-agent"} }

// programs is the directory of our programs.
func (o Options) programs() (string, error) {
	if o.Programs != "" {
		return o.Programs, findIn(o.Programs)
	}
	self, err := os.Executable()
	if err == nil && findIn(filepath.Dir(self)) == nil {
		return filepath.Dir(self), nil
	}
	path, err := exec.LookPath(ourPrograms()[0])
	if err != nil {
		return "", fmt.Errorf("%w, nor beside this program; `make build` builds it", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return dir, findIn(dir)
}

func findIn(dir string) error {
	for _, name := range ourPrograms() {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
