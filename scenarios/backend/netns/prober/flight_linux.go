package prober

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/palisade-netpol/palisade/model/flow"
)

// flight is a probe under way.
type flight struct {
	number  uint64
	proto   flow.Protocol
	port    uint16           // source port
	to      netip.AddrPort   // what it is sent to
	targets []netip.AddrPort // where it may arrive
	arrived atomic.Bool
	answers chan answer // of a protocol without sockets; holds one
	kept    *kept       // nil for a probe
}

// answer is what came back to a flight.
type answer struct {
	name string // of the listener
	err  error  // a refusal
}

// sky holds the flights under way, by protocol and source port.
type sky struct {
	far     *far // what is known of flights of other processes; nil where all begin and end here
	mu      sync.Mutex
	flights map[lane]*flight
	number  uint64
	port    uint16
}

type lane struct {
	proto flow.Protocol
	port  uint16
}

// Source ports count from the first to the last of the range and start again. It lies above the ports that people
// listen on, and what is taken nevertheless is passed over.
const firstPort, lastPort = 16384, 65535

func newSky() *sky { return &sky{flights: map[lane]*flight{}, port: lastPort} }

// nextPort returns a source port that was not used for the longest time.
func (s *sky) nextPort() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port = following(s.port)
	for s.used(s.port) {
		s.port = following(s.port)
	}
	return s.port
}

func following(port uint16) uint16 {
	if port == lastPort {
		return firstPort
	}
	return port + 1
}

// used reports whether a flight has the source port. Those under way are far fewer than the ports.
func (s *sky) used(port uint16) bool {
	for _, proto := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
		if s.flights[lane{proto, port}] != nil {
			return true
		}
	}
	return false
}

// nextNumber returns a number for a message, which no other has.
func (s *sky) nextNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

// start enters a flight; k is where it is kept afterwards, nil if it is not.
func (s *sky) start(p Probe, port uint16, k *kept) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	f := &flight{
		number: s.number, proto: p.Protocol, port: port, to: p.To, targets: p.Targets, answers: make(chan answer, 1),
		kept: k,
	}
	s.flights[lane{p.Protocol, port}] = f
	return f
}

func (s *sky) end(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, lane{f.proto, f.port})
}

// find returns the flight with a source port, nil if there is none.
func (s *sky) find(proto flow.Protocol, port uint16) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[lane{proto, port}]
}

// arrive records that a packet from a source was delivered to one of addrs at a port.
func (s *sky) arrive(proto flow.Protocol, from netip.AddrPort, addrs []netip.Addr, at uint16) {
	if s.far != nil {
		s.far.arrive(Arrival{proto, from, at})
		return
	}
	f := s.find(proto, from.Port())
	if f == nil {
		return
	}
	for _, t := range f.targets {
		for _, a := range addrs {
			if t == netip.AddrPortFrom(a, at) {
				f.arrived.Store(true)
			}
		}
	}
}

// hear notes that a listener got a number, if it came over a kept connection, and how the listener speaks to its
// opener.
func (s *sky) hear(proto flow.Protocol, port uint16, number uint64, say func(number uint64) error) (isKept bool) {
	if s.far != nil {
		s.far.hear(number, say)
		return true
	}
	f := s.find(proto, port)
	if f == nil || f.kept == nil {
		return false
	}
	f.kept.heard.hear(number, say)
	return true
}

// opening is the number that an SCTP flight begins with, as its listener knows it: 0 if there is no such flight.
func (s *sky) opening(port uint16, tag uint32) uint64 {
	if s.far != nil {
		return uint64(tag)
	}
	if f := s.find(flow.SCTP, port); f != nil {
		return f.number
	}
	return 0
}

// reply hands a flight what came back; only the first counts.
func (f *flight) reply(a answer) {
	select {
	case f.answers <- a:
	default:
	}
}
