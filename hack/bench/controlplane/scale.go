package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// scaleRun is a large cluster without kubelets.
type scaleRun struct {
	*bed
	size     size
	replicas []replica
	chunks   int // PolicyEndpoints at the last look
	table    table
}

func runScale(ctx context.Context, out io.Writer, bin binaries, s size, replacements int) (err error) {
	b, err := newBed(ctx, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := &scaleRun{bed: b, size: s, replicas: make([]replica, s.pods)}
	for i := range r.replicas {
		r.replicas[i].number = i
	}
	if err := r.measure(ctx, replacements); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nScale: %d policies, %d pods, %d nodes, load average %s\n", s.policies, s.pods, s.nodes, load())
	return r.table.print(out)
}

func (r *scaleRun) measure(ctx context.Context, replacements int) error {
	start := time.Now()
	if err := r.populate(ctx); err != nil {
		return err
	}
	r.table.add("the bench filled the cluster in", "%.1f s", time.Since(start).Seconds())
	if err := r.replaceAlone(ctx, replacements); err != nil {
		return err
	}
	controller, err := r.converge(ctx)
	if err != nil {
		return err
	}
	all, err := r.replaceWatched(ctx, controller, replacements)
	if err := errors.Join(err, r.verify(ctx, r.size.policies)); err != nil {
		return err
	}
	r.table.add("etcd: bytes per pod replacement, with controller", "%.0f", all.bytes)
	r.table.add("controller: writes per pod replacement", "%.1f", all.writes)
	if err := r.measureAgent(ctx); err != nil {
		return err
	}
	if controller, err = r.restart(ctx, controller); err != nil {
		return err
	}
	return r.shrink(ctx, controller, replacements, all)
}

// replaceAlone replaces pods while there is no controller, to know what pods cost by themselves.
func (r *scaleRun) replaceAlone(ctx context.Context, n int) error {
	before, err := r.etcdBytes(ctx)
	if err != nil {
		return err
	}
	if err := r.replace(ctx, n); err != nil {
		return err
	}
	after, err := r.etcdBytes(ctx)
	r.table.add("etcd: bytes per pod replacement, the pod itself", "%.0f", (after-before)/float64(n))
	return err
}

// converge starts a controller where nothing is published yet.
func (r *scaleRun) converge(ctx context.Context) (*program, error) {
	start := time.Now()
	c, err := r.startController()
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	r.table.add("controller: start until all objects are seen", "%.1f s", time.Since(start).Seconds())
	last, err := r.quiet(ctx, c)
	if err != nil {
		return nil, err
	}
	r.table.add("controller: start until the last of all writes", "%.1f s", last.Sub(start).Seconds())
	if err := r.addMemory("controller: memory (RSS) when converged", c); err != nil {
		return nil, err
	}
	g, err := readController(ctx, c)
	if err := errors.Join(err, r.verify(ctx, r.size.policies)); err != nil {
		return nil, err
	}
	r.table.add("controller: writes", "%.0f", g.writes)
	r.table.add("PolicyEndpoints, each checked", "%d", r.chunks)
	return c, nil
}

func (r *scaleRun) addMemory(what string, p *program) error {
	m, err := readMemory(p.PID())
	r.table.add(what, "%.0f MiB, at most %.0f MiB", m.now, m.peak)
	return err
}

// stillness is for how long a controller must have nothing to do to be taken to be done.
const stillness = 2 * time.Second

// quiet waits until the controller leads and has been at rest for a while, and returns when it was last seen busy.
func (r *scaleRun) quiet(ctx context.Context, c *program) (time.Time, error) {
	busy, writes := time.Now(), -1.0
	err := await(ctx, c, 50*time.Millisecond, func() (bool, error) {
		g, err := readController(ctx, c)
		if err != nil {
			return false, err
		}
		if g.leading == 0 || g.depth > 0 || g.unfinished > 0 || g.writes != writes {
			busy, writes = time.Now(), g.writes
		}
		return time.Since(busy) >= stillness, nil
	})
	return busy, err
}

// cost is what replacing one pod costs.
type cost struct{ writes, selectors, bytes float64 }

// replaceWatched replaces pods, waits until the controller has published what became of it, and returns what that cost.
func (r *scaleRun) replaceWatched(ctx context.Context, c *program, n int) (cost, error) {
	before, err := r.total(ctx, c)
	if err != nil {
		return cost{}, err
	}
	if err := r.replace(ctx, n); err != nil {
		return cost{}, err
	}
	if _, err := r.quiet(ctx, c); err != nil {
		return cost{}, err
	}
	after, err := r.total(ctx, c)
	each := 1 / float64(n)
	return cost{
		writes:    (after.writes - before.writes) * each,
		selectors: (after.selectors - before.selectors) * each,
		bytes:     (after.bytes - before.bytes) * each,
	}, err
}

// total is the cost of everything so far.
func (r *scaleRun) total(ctx context.Context, c *program) (cost, error) {
	g, err := readController(ctx, c)
	if err != nil {
		return cost{}, err
	}
	bytes, err := r.etcdBytes(ctx)
	return cost{g.writes, g.selectorsAsked, bytes}, err
}

// restart ends the controller as an update does and starts it again where everything is published.
func (r *scaleRun) restart(ctx context.Context, c *program) (*program, error) {
	if err := c.Signal(unix.SIGTERM); err != nil {
		return nil, err
	}
	<-c.Done()
	c.Kill() // it is gone; this frees its name
	start := time.Now()
	c, err := r.startController()
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	last, err := r.quiet(ctx, c)
	if err != nil {
		return nil, err
	}
	g, err := readController(ctx, c)
	if err != nil {
		return nil, err
	}
	r.table.add("controller: restart until everything is checked", "%.1f s", last.Sub(start).Seconds())
	r.table.add("controller: writes after a restart", "%.0f", g.writes)
	if g.writes > 0 {
		err = fmt.Errorf("%.0f writes after a restart, although nothing had changed", g.writes)
	}
	return c, errors.Join(err, r.addMemory("controller: memory (RSS) after a restart", c))
}

// shrink deletes the policies of all teams but the first, and replaces pods of the first again: the index must do as
// much work as it did when all were there.
func (r *scaleRun) shrink(ctx context.Context, c *program, n int, all cost) error {
	const kept = appsPerNamespace * teamSize
	start := time.Now()
	err := each(ctx, r.size.policies-kept, func(ctx context.Context, i int) error { return r.deletePolicy(ctx, kept+i) })
	if err != nil {
		return err
	}
	last, err := r.quiet(ctx, c)
	if err != nil {
		return err
	}
	r.table.add(fmt.Sprintf("controller: %d policies deleted in", r.size.policies-kept),
		"%.1f s", last.Sub(start).Seconds())
	few, err := r.replaceWatched(ctx, c, n)
	const what = "controller: selectors compared per pod event, %d policies"
	r.table.add(fmt.Sprintf(what, r.size.policies), "%.2f", all.selectors/eventsPerReplacement)
	r.table.add(fmt.Sprintf(what, kept), "%.2f", few.selectors/eventsPerReplacement)
	return errors.Join(err, r.verify(ctx, kept))
}

// measureAgent runs the agent of the first node, whose pods get real interfaces.
func (r *scaleRun) measureAgent(ctx context.Context) (err error) {
	nd, err := newNode(nodeAddr(0))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nd.close()) }()
	pods := 0
	for _, p := range r.replicas {
		if p.node(r.size) != 0 {
			continue
		}
		pods++
		if _, err := nd.addPod(p.namespace(r.size), p.name(r.size), p.addr()); err != nil {
			return err
		}
	}
	start := time.Now()
	agent, err := r.startAgent(nd)
	if err != nil {
		return err
	}
	defer agent.Kill()
	if err := r.enforced(ctx, agent, pods); err != nil {
		return err
	}
	r.table.add(fmt.Sprintf("agent: start until %d pods are enforced", pods), "%.1f s", time.Since(start).Seconds())
	return r.addMemory("agent: memory (RSS)", agent)
}

// enforced waits until the agent is ready and the kernel has an entry for every pod.
func (r *scaleRun) enforced(ctx context.Context, agent *program, pods int) error {
	if err := agent.ready(ctx); err != nil {
		return err
	}
	return await(ctx, agent, 20*time.Millisecond, func() (bool, error) {
		page, err := agent.page(ctx, "/metrics")
		if err != nil {
			return false, err
		}
		entries, err := metric(page, `palisade_agent_map_entries{table="pods"}`)
		return int(entries) == pods, err
	})
}
