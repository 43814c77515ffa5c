package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/agent/lock"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/bpf"
)

// Options are what a running agent needs besides Config. The zero value of each optional field is its default.
type Options struct {
	Config
	// API says where the API server is, and as whom to speak to it. Required.
	API *rest.Config
	// LinkPrefixes begin the names of the only interfaces that may be pods', from the moment they exist on; default:
	// interfaces are told by what they are.
	LinkPrefixes []string
	// MayRoute: see core.Config; default: none.
	MayRoute []core.NamePattern
	// Finder finds the interfaces of pods; default: by the VPC CNI's rule with LinkPrefixes, then by route.
	Finder core.Finder
	// Socket is the path of the unix socket for the CNI plugin; default: none.
	Socket string
	// StartTimeout bounds how long the start of a pod waits; default: eight seconds.
	StartTimeout time.Duration
	// Listen is the address of /healthz, /readyz and /metrics; default: none.
	Listen string
	// FlowLog is where denials are written; default: nowhere, and the kernel reports none.
	FlowLog io.Writer
	// NodeName is the node in the flow log.
	NodeName string
	// Pprof serves /debug/pprof/ there too.
	Pprof bool
}

// How often the agent looks whether its programs are still where it put them: where the kernel tells when they are not, only
// in case the agent missed it. For 110 pods a look takes 2 ms on tcx and 15 ms on clsact.
const (
	inspectTold   = 5 * time.Second
	inspectUntold = 250 * time.Millisecond
)

// rewatch is how long to wait before notifications of the kernel are asked for again.
const rewatch = 100 * time.Millisecond

// Run makes the kernel enforce the PolicyEndpoints of an API server on the pods of this node, until ctx is done. What
// is enforced then stays enforced. While another one runs on the same pins, it waits. It must run in the node's network
// namespace, with CAP_BPF and CAP_NET_ADMIN.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	held, err := lock.Take(ctx, o.Pins, func() {
		o.Log.Warn("waiting for another agent on this node to end", "pins", o.Pins)
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	d, err := openDatapath(o.Config)
	if err != nil {
		return err
	}
	m := metrics.New(d.node.Counters, d.node.Memory)
	k := &kernel{datapath: d, metrics: m, log: o.Log}
	l := newLoop(core.Config{
		NodeAddrs: o.NodeAddrs, NodePorts: o.NodePorts, Strict: o.Mode == bpf.Strict, Finder: o.Finder, LinkPrefixes: o.LinkPrefixes,
		MayRoute: o.MayRoute,
	}, m, o.Log)
	restored, err := k.restored()
	if err != nil {
		return k.close(fmt.Errorf("read what an earlier agent left: %w", err))
	}
	k.moveFlows()
	o.Log.Info("starting", "node", o.NodeAddrs, "pins", o.Pins, "pods", len(restored.Pods)+len(restored.Former), "epoch", d.node.Epoch())
	l.tell(restored)
	return k.close(o.serve(ctx, l, k))
}

func (o Options) withDefaults() Options {
	o.Config = o.Config.withDefaults()
	o.StartTimeout = cmp.Or(o.StartTimeout, 8*time.Second)
	node := make([]netip.Addr, len(o.NodeAddrs))
	for i, a := range o.NodeAddrs {
		node[i] = a.Unmap()
	}
	o.NodeAddrs = node
	return o
}

// serve runs everything that an agent consists of, until ctx is done or something ends that must not.
func (o Options) serve(ctx context.Context, l *loop, k *kernel) error {
	reflector, err := newReflector(o.API, &sink{o.NodeAddrs, l.tell}, l.metrics, o.Log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	if err := errors.Join(o.serveSocket(ctx, g, l), o.listen(ctx, g, l)); err != nil {
		cancel()
		return errors.Join(err, g.Wait())
	}
	if d := o.collectDenials(k); d != nil {
		g.Go(func() error { d.run(ctx); return nil })
	}
	for _, f := range []func(){
		func() { l.run(ctx) },
		func() { l.work(ctx, l.tables, k.tables) },
		func() { l.work(ctx, l.interfaces, k.interfaces) },
		func() { o.watchHost(ctx, l) },
		func() { reflector.RunWithContext(ctx) },
		func() { l.every(ctx, heartbeat, core.Tick{}) },
		func() { l.every(ctx, k.inspectEvery(), core.FiltersTouched{}) },
	} {
		g.Go(func() error { f(); return nil })
	}
	return g.Wait()
}

func (o Options) serveSocket(ctx context.Context, g *errgroup.Group, l *loop) error {
	if o.Socket == "" {
		return nil
	}
	listener, err := socket.Listen(o.Socket)
	if err != nil {
		return err
	}
	p := &podStart{l, l.metrics, o.LinkPrefixes}
	server := &socket.Server{Handle: p.handle, Timeout: o.StartTimeout, Log: o.Log}
	g.Go(func() error { return server.Serve(ctx, listener) })
	return nil
}

func (o Options) listen(ctx context.Context, g *errgroup.Group, l *loop) error {
	if o.Listen == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	g.Go(func() error { return serveHTTP(ctx, listener, l.handler(o.Pprof)) })
	return nil
}

// watchHost watches the node's network, from the start again whenever notifications were lost.
func (o Options) watchHost(ctx context.Context, l *loop) {
	for ctx.Err() == nil {
		err := hostnet.Watch(ctx, l.tell)
		if ctx.Err() != nil {
			return
		}
		l.metrics.Failed("watch-host")
		o.Log.Warn("watching the node's network again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(rewatch):
		}
	}
}

// every tells the same thing again and again.
func (l *loop) every(ctx context.Context, period time.Duration, in core.Input) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		l.tell(in)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
