package netns

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/plane"
)

// processes is the control plane of production.
type processes struct {
	plane  *plane.Plane
	pins   *pinfs.FS
	agents map[*node]*plane.Agent
	known  map[*pod]bool // pods that their agent knows
	// killIn is how many more calls of apply there are until the leading controller is killed; 0: it is not.
	killIn int
	// publish returns once what a cluster comes to is published.
	publish func(context.Context, *model.Cluster) (uint64, error)
	proxied map[*node]bool // nodes that have a kube-proxy
	served  bool           // whether the last cluster had Services
}

func startProcesses(ctx context.Context, o Options, pins *pinfs.FS) (*processes, error) {
	programs, err := o.programs()
	if err != nil {
		return nil, err
	}
	p, err := plane.Start(ctx, plane.Options{
		Kubernetes: o.Kubernetes, Programs: programs, AgentArgs: o.agentArgs(), Hosted: o.Hosted,
	})
	if err != nil {
		return nil, err
	}
	publish := p.Published
	if o.Hosted {
		publish = p.PublishHosted
	}
	return &processes{
		plane: p, pins: pins, agents: map[*node]*plane.Agent{}, known: map[*pod]bool{}, killIn: o.KillLeaderAfter,
		proxied: map[*node]bool{}, publish: publish,
	}, nil
}

// agentArgs are the flags that say what Options.Agent says.
func (o Options) agentArgs() []string {
	if o.Agent.Mode == bpf.Strict {
		return []string{"-mode", "strict"}
	}
	return nil
}

// apply goes the way of production: nodes join, objects are written, new pods ask to start, and then everybody waits until
// the policies are published and in force.
func (p *processes) apply(ctx context.Context, c *model.Cluster, nodes []*node, pods []*pod) error {
	return p.reach(ctx, c, nodes, pods, false)
}

func (p *processes) clear(ctx context.Context, c *model.Cluster, nodes []*node) error {
	return p.reach(ctx, c, nodes, nil, true)
}

func (p *processes) reach(ctx context.Context, c *model.Cluster, nodes []*node, pods []*pod, keep bool) error {
	for _, n := range nodes {
		if err := p.join(n); err != nil {
			return fmt.Errorf("%s: %w", n.spec.title(), err)
		}
	}
	if err := p.plane.Write(ctx, c, keep); err != nil {
		return err
	}
	if err := p.disturb(ctx); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return p.filter(ctx, c, nodes, pods) })
	group.Go(func() error { return p.proxy(ctx, c, nodes) })
	return group.Wait()
}

// filter lets pods start and waits until the policies are in force.
func (p *processes) filter(ctx context.Context, c *model.Cluster, nodes []*node, pods []*pod) error {
	if err := p.introduce(ctx, pods); err != nil {
		return err
	}
	version, err := p.publish(ctx, c)
	if err != nil {
		return err
	}
	return eachNode(nodes, func(n *node) error { return p.agents[n].InForce(ctx, version) })
}

// disturb kills the leader when its time has come.
func (p *processes) disturb(ctx context.Context) error {
	if p.killIn == 0 {
		return nil
	}
	if p.killIn--; p.killIn > 0 {
		return nil
	}
	return p.plane.KillLeader(ctx)
}

// join starts the agent of a node unless it runs.
func (p *processes) join(n *node) error {
	if p.agents[n] != nil {
		return nil
	}
	a, err := p.plane.NewAgent(plane.Node{
		Name: n.spec.name, Addrs: n.spec.addrs, NS: n.wire.NS(), Pins: p.pins.Root(), Dir: filepath.Base(n.pins),
	})
	if err != nil {
		return err
	}
	p.agents[n] = a
	return a.Start()
}

// introduce asks the agents to let new pods start.
func (p *processes) introduce(ctx context.Context, pods []*pod) error {
	fresh := slices.DeleteFunc(slices.Clone(pods), func(q *pod) bool { return p.known[q] })
	errs := make([]error, len(fresh))
	var work sync.WaitGroup
	for i, q := range fresh {
		work.Go(func() { errs[i] = wrap(q.spec.title(), p.agents[q.node].Add(ctx, request(q))) })
	}
	work.Wait()
	for i, q := range fresh {
		if errs[i] != nil {
			return errs[i]
		}
		p.known[q] = true
	}
	return nil
}

// request is what palisade-cni says of a pod.
func request(q *pod) socket.Request {
	return socket.Request{
		Namespace: q.spec.namespace, Name: q.spec.name, UID: q.spec.uid, Addresses: q.spec.addrs,
		HostInterfaces: []string{fabric.LinkName(q.spec.namespace, q.spec.name)},
	}
}

func (p *processes) leave(ctx context.Context, q *pod) error {
	if !p.known[q] {
		return nil
	}
	delete(p.known, q)
	return p.agents[q.node].Delete(ctx, request(q))
}

func (p *processes) drop(n *node) error {
	if p.proxied[n] {
		delete(p.proxied, n)
		p.plane.Cluster().StopKubeProxy(n.spec.name)
	}
	if a := p.agents[n]; a != nil {
		delete(p.agents, n)
		a.Close()
	}
	return nil
}

func (p *processes) close() error { return p.plane.Stop() }
