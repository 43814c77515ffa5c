package netns

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// namespaces is the backend.
type namespaces struct {
	opts  Options
	idle  idle
	turns chan struct{} // one for each cluster in use, where their number is limited
}

// New returns the backend.
func New(opts Options) backend.Backend {
	b := &namespaces{opts: opts.withDefaults()}
	if opts.ControlPlane == Processes && opts.Idle > 0 {
		b.turns = make(chan struct{}, opts.Idle)
	}
	return b
}

// wait waits for a turn to use a cluster.
func (b *namespaces) wait(ctx context.Context) error {
	if b.turns == nil {
		return nil
	}
	select {
	case b.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pass gives the turn to somebody else.
func (b *namespaces) pass() {
	if b.turns != nil {
		<-b.turns
	}
}

// With returns the backend with other options.
func (*namespaces) With(o Options) backend.Backend { return New(o) }

// Name returns "netns".
func (*namespaces) Name() string { return "netns" }

// Available tries what the backend needs, each thing once.
func (*namespaces) Available() error {
	for _, try := range []func() error{tryNetwork, tryBPF} {
		if err := try(); err != nil {
			return fmt.Errorf("backend netns needs root and a kernel with network namespaces, nftables and BPF; here: %w", err)
		}
	}
	return nil
}

func tryNetwork() error {
	f, err := fabric.New()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n, err := f.AddNode("try", nil)
	if err != nil {
		return err
	}
	defer func() { _ = n.Release() }()
	table, err := service.Open(n.NS().FD())
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	return table.Set(nil)
}

func tryBPF() error {
	pins, err := pinfs.New()
	if err != nil {
		return err
	}
	defer func() { _ = pins.Close() }()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("create a BPF map: %w", err)
	}
	return m.Close()
}

// Open starts a cluster without nodes, or where clusters may wait promises one, which the first Apply chooses.
func (b *namespaces) Open(ctx context.Context) (backend.Session, error) {
	if b.opts.Idle == 0 {
		return b.start(ctx)
	}
	return &lease{backend: b}, nil
}

// Close takes down the clusters that wait.
func (b *namespaces) Close() error {
	var errs []error
	for _, s := range b.idle.takeAll() {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (b *namespaces) start(ctx context.Context) (*session, error) {
	f, err := fabric.New()
	if err != nil {
		return nil, err
	}
	pins, err := pinfs.New()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	control, err := b.control(ctx, pins)
	if err != nil {
		return nil, errors.Join(err, f.Close(), pins.Close())
	}
	return &session{
		control: control, fabric: f, pins: pins, prober: prober.New(),
		nodes: map[string]*node{}, pods: map[string]*pod{}, sources: map[string]string{},
		outside: map[string]*fabric.Node{},
	}, nil
}

func (b *namespaces) control(ctx context.Context, pins *pinfs.FS) (control, error) {
	if b.opts.ControlPlane == Processes {
		return startProcesses(ctx, b.opts, pins)
	}
	return &memory{opts: b.opts, agents: map[*node]NodeAgent{}}, nil
}
