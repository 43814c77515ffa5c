package prober

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// host is one namespace with everything that listens in it.
type host struct {
	name  string
	ns    *ns.NS
	addrs []netip.Addr
	sky   *sky

	listening map[listener]bool
	ears      map[ear]*raw             // see every TCP SYN and every UDP datagram
	endpoints map[netip.Addr]*endpoint // answer SCTP

	work   sync.WaitGroup // goroutines that serve sockets
	mu     sync.Mutex
	open   map[io.Closer]bool // sockets to close with the host; nil once it is closed
	broken error              // why a socket is no longer served
}

type listener struct {
	proto flow.Protocol
	at    netip.AddrPort
}

type ear struct {
	proto  flow.Protocol
	domain int
}

func newHost(name string, n *ns.NS, addrs []netip.Addr, s *sky) *host {
	return &host{
		name: name, ns: n, addrs: addrs, sky: s,
		listening: map[listener]bool{}, ears: map[ear]*raw{}, endpoints: map[netip.Addr]*endpoint{},
		open: map[io.Closer]bool{},
	}
}

// listen makes sure that somebody answers at a port of one of the host's addresses.
func (h *host) listen(proto flow.Protocol, at netip.AddrPort) error {
	key := listener{proto, at}
	if h.listening[key] {
		return nil
	}
	if err := h.startListening(proto, at); err != nil {
		return fmt.Errorf("%s: listen on %s/%s: %w", h.name, proto, at, err)
	}
	h.listening[key] = true
	return nil
}

func (h *host) startListening(proto flow.Protocol, at netip.AddrPort) error {
	switch proto {
	case flow.TCP:
		return errors.Join(h.hear(flow.TCP, domain(at.Addr())), h.listenTCP(at))
	case flow.UDP:
		return errors.Join(h.hear(flow.UDP, domain(at.Addr())), h.listenUDP(at))
	case flow.SCTP:
		e, err := h.endpoint(at.Addr())
		if err != nil {
			return err
		}
		e.openPort(at.Port())
		return nil
	}
	return fmt.Errorf("cannot listen on protocol %s", proto)
}

// hear makes sure that arrivals of TCP or UDP are recorded.
func (h *host) hear(proto flow.Protocol, domain int) error {
	key := ear{proto, domain}
	if h.ears[key] != nil {
		return nil
	}
	r, err := listenRaw(h.ns, domain, int(proto), func(fd int) error {
		if proto == flow.TCP {
			return onlySYN(fd, domain)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.hear = func(_ int, from netip.Addr, segment []byte) {
		if src, dst, ok := ports(segment); ok {
			h.sky.arrive(proto, netip.AddrPortFrom(from, src), h.addrs, dst)
		}
	}
	h.ears[key] = r
	h.serve(r.file, r.serve)
	return nil
}

// onlySYN makes a raw socket drop every TCP segment but those that open a connection.
func onlySYN(fd, domain int) error {
	const flagsAt, flags, syn = 13, 0x12, 0x02 // of SYN and ACK only SYN is set
	load := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsAt}}
	if domain == unix.AF_INET { // where the segment follows an IP header of any length
		load = []unix.SockFilter{
			{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: flagsAt},
		}
	}
	program := append(load,
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: flags},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("attach a socket filter: %w", err)
	}
	return nil
}

// drain makes sure that everything that was delivered to the host by now is recorded.
func (h *host) drain() error {
	var errs []error
	for _, r := range h.ears {
		errs = append(errs, r.drain())
	}
	for _, e := range h.endpoints {
		errs = append(errs, e.raw.drain())
	}
	return errors.Join(errs...)
}

// serve runs f until the host is closed, and closes c then. If f ends with an error, the host is broken.
func (h *host) serve(c io.Closer, f func() error) {
	if !h.keep(c) {
		return
	}
	h.work.Go(func() {
		if err := f(); err != nil {
			h.fail(err)
		}
	})
}

// keep enters a socket to be closed with the host, and reports false, having closed it, if that has happened.
func (h *host) keep(c io.Closer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		_ = c.Close()
		return false
	}
	h.open[c] = true
	return true
}

// drop closes a socket before the host is closed.
func (h *host) drop(c io.Closer) {
	h.mu.Lock()
	delete(h.open, c)
	h.mu.Unlock()
	_ = c.Close()
}

func (h *host) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == nil && h.open != nil {
		h.broken = fmt.Errorf("%s: listener: %w", h.name, err)
	}
}

func (h *host) health() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken
}

// close closes all sockets and waits until nobody serves them.
func (h *host) close() {
	h.mu.Lock()
	open := h.open
	h.open = nil
	h.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
	h.work.Wait()
}
