package prober

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// atOnce is how many probes run at the same time: as many as fit into the usual limit of descriptors with room to spare.
const atOnce = 512

// Prober probes between namespaces. Its methods are not safe for concurrent use.
type Prober struct {
	sky    *sky
	hosts  map[string]*host
	byAddr map[netip.Addr]*host
	kept   map[string]*kept
}

// New returns a Prober without namespaces.
func New() *Prober {
	return &Prober{sky: newSky(), hosts: map[string]*host{}, byAddr: map[netip.Addr]*host{}, kept: map[string]*kept{}}
}

// Add makes a namespace that owns addrs known under a name. The name is what its listeners answer.
func (p *Prober) Add(name string, n *ns.NS, addrs []netip.Addr) {
	h := newHost(name, n, addrs, p.sky)
	p.hosts[name] = h
	for _, a := range addrs {
		p.byAddr[a] = h
	}
}

// Remove closes every socket in a namespace, if it is known, so that the namespace can go.
func (p *Prober) Remove(name string) {
	h := p.hosts[name]
	if h == nil {
		return
	}
	p.forget(name)
	h.close()
	delete(p.hosts, name)
	for _, a := range h.addrs {
		if p.byAddr[a] == h {
			delete(p.byAddr, a)
		}
	}
}

// Probe is one connection attempt.
type Probe struct {
	From     string           // name of the namespace
	To       netip.AddrPort   // where it is sent
	Targets  []netip.AddrPort // where it may arrive: To, or the endpoints behind a translated To
	Protocol flow.Protocol    // TCP, UDP or SCTP
	Timeout  time.Duration    // how long to wait for an answer, more than 0
}

// Probe runs probes side by side and returns what became of each, in the same order. Where a target belongs to a known
// namespace, somebody listens there before the first probe starts.
func (p *Prober) Probe(ctx context.Context, probes []Probe) ([]backend.Observation, error) {
	for _, probe := range probes {
		if err := p.prepare(probe); err != nil {
			return nil, err
		}
	}
	out := make([]backend.Observation, len(probes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, probe := range probes {
		group.Go(func() (err error) {
			out[i], err = p.fly(ctx, probe)
			return err
		})
	}
	if err := errors.Join(group.Wait(), p.health()); err != nil {
		return nil, err
	}
	return out, nil
}

// prepare opens the sockets that a probe needs at both ends.
func (p *Prober) prepare(probe Probe) error {
	from := p.hosts[probe.From]
	switch {
	case from == nil:
		return fmt.Errorf("probe from %s: no such namespace", probe.From)
	case probe.Timeout <= 0:
		return fmt.Errorf("probe from %s: timeout %s is not positive", probe.From, probe.Timeout)
	}
	if probe.Protocol == flow.SCTP {
		if err := from.speakSCTP(probe.To.Addr()); err != nil {
			return err
		}
	}
	for _, t := range probe.Targets {
		if h := p.byAddr[t.Addr()]; h != nil {
			if err := h.listen(probe.Protocol, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Prober) health() error {
	var errs []error
	for _, h := range p.hosts {
		errs = append(errs, h.health())
	}
	return errors.Join(errs...)
}

// arrived reports whether a flight was delivered to one of its targets by now.
func (p *Prober) arrived(f *flight) (bool, error) {
	for _, t := range f.targets {
		h := p.byAddr[t.Addr()]
		if h == nil || f.arrived.Load() {
			continue
		}
		if err := h.drain(); err != nil {
			return false, err
		}
	}
	return f.arrived.Load(), nil
}

// Close closes every socket.
func (p *Prober) Close() {
	for name := range p.hosts {
		p.Remove(name)
	}
}
