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
	opts Options
	idle idle
}

// New returns the backend.
func New(opts Options) backend.Backend { return &namespaces{opts: opts.withDefaults()} }

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
	defer f.Close()
	n, err := f.AddNode("try", nil)
	if err != nil {
		return err
	}
	defer n.Release()
	table, err := service.Open(n.NS().FD())
	if err != nil {
		return err
	}
	defer table.Close()
	return table.Set(nil)
}

func tryBPF() error {
	pins, err := pinfs.New()
	if err != nil {
		return err
	}
	defer pins.Close()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("create a BPF map: %w", err)
	}
	return m.Close()
}

// Open starts a cluster without nodes, or where clusters may wait promises one, which the first Apply chooses.
func (b *namespaces) Open(context.Context) (backend.Session, error) {
	if b.opts.Idle == 0 {
		return b.start()
	}
	return &lease{backend: b}, nil
}

func (b *namespaces) start() (*session, error) {
	f, err := fabric.New()
	if err != nil {
		return nil, err
	}
	pins, err := pinfs.New()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &session{
		opts: b.opts, fabric: f, pins: pins, prober: prober.New(),
		nodes: map[string]*node{}, pods: map[string]*pod{}, sources: map[string]string{},
		outside: map[string]*fabric.Node{},
	}, nil
}
