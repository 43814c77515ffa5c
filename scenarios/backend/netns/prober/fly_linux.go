package prober

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// How an attempt can fail other than by an errno of its socket.
var (
	errAbort = errors.New("association aborted")
	errLocal = errors.New("not sent")                         // the packet did not leave its namespace
	errMute  = errors.New("connection closed without answer") // by the listener, or by somebody in its place
)

// attempt is how one protocol makes a connection and waits for the answer.
type attempt interface {
	// send sends what the flight begins with.
	send(f *flight) error
	// await waits until a time for the listener's name; on os.ErrDeadlineExceeded it may be called again.
	await(f *flight, until time.Time) (name string, err error)
	// stop makes await return at once.
	stop()
	close() error
}

// attempt opens the socket of a probe, bound to a fresh port.
func (p *Prober) attempt(probe Probe) (a attempt, port uint16, err error) {
	from := p.hosts[probe.From]
	switch probe.Protocol {
	case flow.TCP:
		return p.openTCP(from, probe.To)
	case flow.UDP:
		return p.openUDP(from, probe.To)
	case flow.SCTP:
		return p.openSCTP(from, probe.To)
	}
	return nil, 0, fmt.Errorf("cannot probe protocol %s", probe.Protocol)
}

// fly makes one attempt. What happens to it is an observation; an error is a failure of the machine.
func (p *Prober) fly(ctx context.Context, probe Probe) (backend.Observation, error) {
	j, seen, err := p.travel(ctx, probe, nil)
	if j != nil {
		p.sky.end(j.flight)
		_ = j.attempt.close()
	}
	return seen, err
}

// journey is an attempt that has been made, and whose socket is still open.
type journey struct {
	attempt attempt
	flight  *flight
}

// travel makes one attempt. The journey is nil where nothing was sent.
func (p *Prober) travel(ctx context.Context, probe Probe, k *kept) (*journey, backend.Observation, error) {
	a, port, err := p.attempt(probe)
	if errors.Is(err, errLocal) {
		return nil, notSent(err), nil
	}
	if err != nil {
		return nil, backend.Observation{}, fmt.Errorf("probe from %s: %w", probe.From, err)
	}
	j := &journey{a, p.sky.start(probe, port, k)}
	defer context.AfterFunc(ctx, a.stop)()

	start := time.Now()
	name, err := p.converse(ctx, a, j.flight, start, probe.Timeout)
	rtt := time.Since(start)
	if ctx.Err() != nil {
		return j, backend.Observation{}, ctx.Err()
	}
	seen, err := p.judge(j.flight, name, err, rtt)
	seen.Port = port
	return j, seen, err
}

// converse sends and waits. A flight that has arrived in time gets twice the time for its answer: what is late on a busy
// machine is not lost.
func (p *Prober) converse(
	ctx context.Context, a attempt, f *flight, start time.Time, timeout time.Duration,
) (name string, err error) {
	if err := a.send(f); err != nil {
		return "", err
	}
	name, err = a.await(f, start.Add(timeout))
	if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return name, err
	}
	if ok, broken := p.arrived(f); broken != nil || !ok {
		return "", errors.Join(err, broken)
	}
	return a.await(f, start.Add(2*timeout))
}

// judge turns the end of a conversation into an observation.
func (p *Prober) judge(f *flight, name string, err error, rtt time.Duration) (backend.Observation, error) {
	switch {
	case err == nil:
		return backend.Observation{Outcome: backend.Connected, Answered: name, RTT: rtt}, nil
	case errors.Is(err, errLocal):
		return notSent(err), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return p.silence(f)
	case refusal(err):
		return backend.Observation{Outcome: backend.Refused, RTT: rtt, Detail: err.Error()}, nil
	}
	return backend.Observation{}, err
}

func notSent(err error) backend.Observation {
	return backend.Observation{Outcome: backend.Blocked, Detail: err.Error()}
}

// NotSent reports whether an observation of a Prober is of a packet that did not leave its namespace.
func NotSent(o backend.Observation) bool {
	return o.Outcome == backend.Blocked && strings.HasPrefix(o.Detail, errLocal.Error())
}

// refusal reports whether err is what a reset or an ICMP error becomes.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{
		errAbort, errMute, unix.ECONNREFUSED, unix.ECONNRESET, unix.EPIPE, unix.EHOSTUNREACH, unix.ENETUNREACH,
		unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.EPROTO, unix.EACCES, unix.EMSGSIZE, unix.ENONET, unix.EHOSTDOWN,
	}, func(known error) bool { return errors.Is(err, known) })
}

// silence tells a flight that was lost from one whose answer was.
func (p *Prober) silence(f *flight) (backend.Observation, error) {
	arrived, err := p.arrived(f)
	if err != nil {
		return backend.Observation{}, err
	}
	if arrived {
		return backend.Observation{Outcome: backend.OneWay, Detail: "arrived, but no answer came back"}, nil
	}
	return backend.Observation{Outcome: backend.Blocked, Detail: "nothing arrived"}, nil
}

// client opens a socket of a type, prepared and bound to a fresh port.
func (p *Prober) client(
	from *host, typ int, to netip.Addr, prepare func(fd int) error,
) (file *os.File, port uint16, err error) {
	file, err = open(from.ns, domain(to), typ, 0, func(fd int) error {
		if err := prepare(fd); err != nil {
			return fmt.Errorf("prepare a socket: %w", err)
		}
		port, err = p.bindFresh(fd, to)
		return err
	})
	return file, port, err
}

// bindFresh binds a socket to the next port that is free in its namespace.
func (p *Prober) bindFresh(fd int, to netip.Addr) (uint16, error) {
	wildcard := netip.IPv6Unspecified()
	if to.Is4() {
		wildcard = netip.IPv4Unspecified()
	}
	for range lastPort - firstPort + 1 {
		port := p.sky.nextPort()
		err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(wildcard, port)))
		if !errors.Is(err, unix.EADDRINUSE) {
			return port, err
		}
	}
	return 0, errors.New("no free source port")
}

// sent passes over what a call that sends reports when a filter of its own namespace dropped the packet: whether an ICMP
// error follows is still to be seen.
func sent(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return local(err)
}

// local marks an error of a call that sends: the packet did not leave.
func local(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errLocal, err)
}
