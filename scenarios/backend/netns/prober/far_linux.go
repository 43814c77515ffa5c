package prober

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/model/flow"
)

// NewFar returns a Prober whose connections lead to Probers of other processes and come from them: such as those of
// pods of a real cluster. What it cannot see by itself, the other end tells: a probe without an answer is Blocked,
// and whether it has Arrived is asked where it should have; over a kept connection it Asks, and the listener tells
// what it Heard.
func NewFar() *Prober {
	p := New()
	p.sky.far = newFar()
	// Wherever others begin, two processes hardly ever use the same ports or numbers at the same time.
	p.sky.port = firstPort + uint16(rand.IntN(lastPort-firstPort))
	p.sky.number = rand.Uint64() >> 1
	return p
}

// Arrival is the first packet of a connection as its listener sees it.
type Arrival struct {
	Protocol flow.Protocol
	From     netip.AddrPort // its address may be unset in a question: any
	At       uint16         // the port of the listener
}

// memory is how long arrivals and the ends of conversations are remembered.
const memory = 30 * time.Minute

// far is what a Prober notes of connections that were opened in other processes.
type far struct {
	mu       sync.Mutex
	ports    map[lane]bool // that somebody listens on
	arrivals map[Arrival]time.Time
	heard    map[uint64]conversation // by number
	swept    time.Time
}

// conversation is a connection of which a number was heard.
type conversation struct {
	say func(number uint64) error
	at  time.Time
}

func newFar() *far {
	return &far{
		ports: map[lane]bool{}, arrivals: map[Arrival]time.Time{}, heard: map[uint64]conversation{}, swept: time.Now(),
	}
}

func (f *far) open(proto flow.Protocol, port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ports[lane{proto, port}] = true
}

// arrive notes an arrival where somebody listens: a node receives a lot that is none of our business.
func (f *far) arrive(a Arrival) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ports[lane{a.Protocol, a.At}] {
		return
	}
	f.sweep()
	f.arrivals[a] = time.Now()
}

func (f *far) hear(number uint64, say func(number uint64) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep()
	f.heard[number] = conversation{say, time.Now()}
}

// sweep forgets what is old, once in a while.
func (f *far) sweep() {
	now := time.Now()
	if now.Sub(f.swept) < memory {
		return
	}
	f.swept = now
	for a, at := range f.arrivals {
		if now.Sub(at) > memory {
			delete(f.arrivals, a)
		}
	}
	for number, c := range f.heard {
		if now.Sub(c.at) > memory {
			delete(f.heard, number)
		}
	}
}

func (f *far) arrived(q Arrival) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.From.Addr().IsValid() {
		_, ok := f.arrivals[q]
		return ok
	}
	for a := range f.arrivals {
		if a.Protocol == q.Protocol && a.At == q.At && a.From.Port() == q.From.Port() {
			return true
		}
	}
	return false
}

// conversation returns how to speak over the connection on which a number was heard, and reports whether it was.
func (f *far) conversation(number uint64) (say func(uint64) error, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.heard[number]
	return c.say, ok
}

// Listen makes sure that somebody answers at a port of one of the namespace's addresses.
func (p *Prober) Listen(name string, proto flow.Protocol, at netip.AddrPort) error {
	h := p.hosts[name]
	if h == nil {
		return fmt.Errorf("listen in %s: no such namespace", name)
	}
	p.sky.far.open(proto, at.Port())
	return h.listen(proto, at)
}

// Arrived tells of each arrival whether it happened in the last minutes.
func (p *Prober) Arrived(questions []Arrival) ([]bool, error) {
	for _, h := range p.hosts {
		if err := h.drain(); err != nil {
			return nil, err
		}
	}
	out := make([]bool, len(questions))
	for i, q := range questions {
		out[i] = p.sky.far.arrived(q)
	}
	return out, p.health()
}

// Opening returns the number with which a kept connection was opened, as its listener knows it.
func (p *Prober) Opening(name string) (uint64, error) {
	k := p.kept[name]
	if k == nil {
		return 0, fmt.Errorf("there is no connection %s", name)
	}
	if f := k.journey.flight; f.proto == flow.SCTP {
		return uint64(initOf(f).InitTag), nil
	}
	return k.journey.flight.number, nil
}

// Asked is what the opener of a kept connection knows of a question.
type Asked struct {
	Number uint64
	Back   bool   // it, or what the listener said of its own accord under that number, came back
	Detail string // for people: how the connection was torn down
}

// Ask asks a question over kept connections and returns what came back within timeout, in the same order.
func (p *Prober) Ask(ctx context.Context, names []string, timeout time.Duration) ([]Asked, error) {
	return p.overKept(ctx, names, func(ctx context.Context, k *kept, _ int) (uint64, error) {
		return p.ask(ctx, k, timeout)
	})
}

// Await waits until the numbers have come back over kept connections, or for timeout.
func (p *Prober) Await(ctx context.Context, names []string, numbers []uint64, timeout time.Duration) ([]Asked, error) {
	if len(names) != len(numbers) {
		return nil, fmt.Errorf("%d names and %d numbers", len(names), len(numbers))
	}
	return p.overKept(ctx, names, func(ctx context.Context, k *kept, i int) (uint64, error) {
		return numbers[i], p.wait(ctx, k, numbers[i], timeout)
	})
}

// overKept runs f for kept connections side by side.
func (p *Prober) overKept(
	ctx context.Context, names []string, f func(context.Context, *kept, int) (uint64, error),
) ([]Asked, error) {
	out := make([]Asked, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		k := p.kept[name]
		if k == nil {
			return nil, fmt.Errorf("there is no connection %s", name)
		}
		group.Go(func() error {
			number, err := f(ctx, k, i)
			out[i] = Asked{Number: number, Back: k.heard.answered(number)}
			if err != nil && !refusal(err) {
				return fmt.Errorf("connection %s: %w", name, err)
			}
			if err != nil {
				out[i].Detail = err.Error()
			}
			return nil
		})
	}
	return out, errors.Join(group.Wait(), p.health())
}

// Heard tells which numbers listeners have heard in the last minutes.
func (p *Prober) Heard(numbers []uint64) ([]bool, error) {
	for _, h := range p.hosts {
		if err := h.drain(); err != nil {
			return nil, err
		}
	}
	out := make([]bool, len(numbers))
	for i, number := range numbers {
		_, out[i] = p.sky.far.conversation(number)
	}
	return out, p.health()
}

// Speak makes a listener send a number over the connection that was opened with another one. That it cannot be sent is
// for the opener to observe.
func (p *Prober) Speak(opening, number uint64) error {
	say, ok := p.sky.far.conversation(opening)
	if !ok {
		return fmt.Errorf("no connection was opened with number %d", opening)
	}
	_ = say(number)
	return nil
}

// OwnAddrs are the addresses of the interfaces of the process's namespace that others can reach.
func OwnAddrs() ([]netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("own addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range found {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			addrs = append(addrs, p.Addr().Unmap())
		}
	}
	return addrs, nil
}
