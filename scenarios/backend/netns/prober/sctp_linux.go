package prober

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
)

// association is an SCTP attempt through the endpoint of its host.
type association struct {
	endpoint *endpoint
	stopped  chan struct{}
}

// source is the host's address that speaks to a.
func (h *host) source(a netip.Addr) (netip.Addr, error) {
	i := slices.IndexFunc(h.addrs, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}, fmt.Errorf("%w: %s has no address of the family of %s", errLocal, h.name, a)
	}
	return h.addrs[i], nil
}

// speakSCTP makes sure that the host can send to a's family, if it has an address of it.
func (h *host) speakSCTP(a netip.Addr) error {
	source, err := h.source(a)
	if err != nil {
		return nil // an observation, when the probe is made
	}
	if _, err := h.endpoint(source); err != nil {
		return fmt.Errorf("%s: open an SCTP endpoint: %w", h.name, err)
	}
	return nil
}

func (p *Prober) openSCTP(from *host, to netip.AddrPort) (attempt, uint16, error) {
	source, err := from.source(to.Addr())
	if err != nil {
		return nil, 0, err
	}
	e := from.endpoints[source]
	return &association{endpoint: e, stopped: make(chan struct{})}, p.sky.nextPort(), nil
}

func (a *association) send(f *flight) error {
	return sent(a.endpoint.send(f.to.Addr(), initOf(f)))
}

func (a *association) await(f *flight, until time.Time) (string, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case reply := <-f.answers:
		return reply.name, reply.err
	case <-a.stopped:
	case <-timer.C:
		return a.last(f)
	}
	return "", os.ErrDeadlineExceeded
}

// last looks for an answer that nobody has read yet.
func (a *association) last(f *flight) (string, error) {
	if err := a.endpoint.raw.drain(); err != nil {
		return "", err
	}
	select {
	case reply := <-f.answers:
		return reply.name, reply.err
	default:
		return "", os.ErrDeadlineExceeded
	}
}

func (a *association) stop()        { close(a.stopped) }
func (a *association) close() error { return nil }

// closer is nothing of the association's own: its endpoint listens for all.
func (a *association) closer() *os.File { return a.endpoint.raw.file }

func (a *association) listen(*ledger) error { return nil }

// say sends a number in a chunk of data. The listener takes the initiate tag of the opener for its own.
func (a *association) say(f *flight, number uint64) error {
	init := initOf(f)
	init.Tag = init.InitTag
	return a.endpoint.send(f.to.Addr(), init.WithData(question(number)))
}
