package prober

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// kept is a connection that stays open. Its two ends are in this process, so what was sent at
// the one is looked for at the other, and what passes there is told from what passes back.
type kept struct {
	from    string // the namespace of the end that opened it
	journey *journey
	line    line
	heard   *ledger
}

// line is the opener's end of a kept connection.
type line interface {
	attempt
	// say sends a number to the listener.
	say(f *flight, number uint64) error
	// listen notes the numbers that the listener sends until the socket is closed, or the connection by somebody else:
	// then it says how.
	listen(heard *ledger) error
	// closer is closed to end listen.
	closer() *os.File
}

// Keep opens a connection like a probe and, if it is answered, keeps it under a name until its opener's namespace is
// removed.
func (p *Prober) Keep(ctx context.Context, name string, probe Probe) (backend.Observation, error) {
	if p.kept[name] != nil {
		return backend.Observation{}, fmt.Errorf("there is a connection %s already", name)
	}
	if err := p.prepare(probe); err != nil {
		return backend.Observation{}, err
	}
	k := &kept{from: probe.From, heard: newLedger()}
	j, seen, err := p.travel(ctx, probe, k)
	if j == nil {
		return seen, err
	}
	if err != nil || seen.Outcome != backend.Connected {
		p.sky.end(j.flight)
		return seen, errors.Join(err, j.attempt.close())
	}
	k.journey, k.line = j, j.attempt.(line)
	p.kept[name] = k
	p.hosts[probe.From].attend(k)
	return seen, nil
}

// attend reads what comes back over a kept connection until the host is closed.
func (h *host) attend(k *kept) {
	h.serve(k.line.closer(), func() error {
		if err := k.line.listen(k.heard); err != nil && !errors.Is(err, os.ErrClosed) {
			k.heard.end(err)
		}
		return nil
	})
}

// forget ends the connections that a namespace opened. Their sockets are closed with their host.
func (p *Prober) forget(from string) {
	for name, k := range p.kept {
		if k.from == from {
			p.sky.end(k.journey.flight)
			delete(p.kept, name)
		}
	}
}

// HangUp closes kept connections. Whether their listeners learn of it is not looked at.
func (p *Prober) HangUp(names []string) error {
	for _, name := range names {
		k := p.kept[name]
		if k == nil {
			return fmt.Errorf("there is no connection %s", name)
		}
		p.sky.end(k.journey.flight)
		delete(p.kept, name)
		if _, shared := k.line.(*association); !shared {
			p.hosts[k.from].drop(k.line.closer())
		}
	}
	return nil
}

// Exchange asks a question over kept connections and returns which way packets pass, in the same order.
func (p *Prober) Exchange(ctx context.Context, names []string, timeout time.Duration) ([]backend.Passage, error) {
	out := make([]backend.Passage, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		k := p.kept[name]
		if k == nil {
			return nil, fmt.Errorf("there is no connection %s", name)
		}
		group.Go(func() (err error) {
			if out[i], err = p.exchange(ctx, k, timeout); err != nil {
				return fmt.Errorf("connection %s: %w", name, err)
			}
			return nil
		})
	}
	if err := errors.Join(group.Wait(), p.health()); err != nil {
		return nil, err
	}
	return out, nil
}

// exchange asks and, where nobody heard it, makes the listener speak up.
func (p *Prober) exchange(ctx context.Context, k *kept, timeout time.Duration) (backend.Passage, error) {
	number, err := p.ask(ctx, k, timeout)
	if err == nil && !k.heard.asked(number) {
		if err = sent(k.heard.speak(number)); err == nil {
			err = p.wait(ctx, k, number, timeout)
		}
	}
	seen := backend.Passage{There: k.heard.asked(number), Back: k.heard.answered(number)}
	switch {
	case ctx.Err() != nil:
		return backend.Passage{}, ctx.Err()
	case err != nil && !refusal(err):
		return backend.Passage{}, err
	case err != nil:
		seen.Detail = err.Error()
	}
	return seen, nil
}

// ask sends a new number over a kept connection and waits for the answer.
func (p *Prober) ask(ctx context.Context, k *kept, timeout time.Duration) (number uint64, err error) {
	number = p.sky.nextNumber()
	if err := sent(k.line.say(k.journey.flight, number)); err != nil {
		return number, err
	}
	return number, p.wait(ctx, k, number, timeout)
}

// wait waits until a number has come back, or for timeout; then everything is noted that was delivered by then.
func (p *Prober) wait(ctx context.Context, k *kept, number uint64, timeout time.Duration) error {
	if err := k.heard.await(ctx, timeout, number); err != nil {
		return err
	}
	return p.drainFor(k)
}

// drainFor makes sure that what was delivered to either end by now is noted.
func (p *Prober) drainFor(k *kept) error {
	var errs []error
	hosts := []*host{p.hosts[k.from]}
	for _, t := range k.journey.flight.targets {
		hosts = append(hosts, p.byAddr[t.Addr()])
	}
	for _, h := range hosts {
		if h != nil {
			errs = append(errs, h.drain())
		}
	}
	return errors.Join(errs...)
}

// ledger holds the numbers that have arrived at either end of a connection.
type ledger struct {
	mu      sync.Mutex
	there   map[uint64]bool           // at the listener
	back    map[uint64]bool           // at the opener
	say     func(number uint64) error // sends from the listener; known since its first answer
	ended   error
	changed chan struct{} // closed by the next change
}

func newLedger() *ledger {
	return &ledger{there: map[uint64]bool{}, back: map[uint64]bool{}, changed: make(chan struct{})}
}

// hear notes a number that the listener got, and how it speaks to the opener.
func (l *ledger) hear(number uint64, say func(number uint64) error) {
	l.change(func() { l.there[number], l.say = true, say })
}

// note notes a number that the opener got.
func (l *ledger) note(number uint64) {
	l.change(func() { l.back[number] = true })
}

// end notes that the connection was torn down, and how.
func (l *ledger) end(err error) {
	l.change(func() { l.ended = err })
}

func (l *ledger) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// speak sends a number from the listener.
func (l *ledger) speak(number uint64) error {
	l.mu.Lock()
	say := l.say
	l.mu.Unlock()
	return say(number)
}

func (l *ledger) asked(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.there[number]
}

func (l *ledger) answered(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.back[number]
}

// await waits for at most timeout until a number has come back. An error says that the connection ended.
func (l *ledger) await(ctx context.Context, timeout time.Duration, number uint64) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		l.mu.Lock()
		back, ended, changed := l.back[number], l.ended, l.changed
		l.mu.Unlock()
		if back || ended != nil {
			return ended
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
