package netns_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// pace is how often a blaster sends.
const pace = 500 * time.Microsecond

// blaster sends numbered datagrams from one pod to another, which returns each of them, and counts at the receivers.
type blaster struct {
	name           string
	sent           atomic.Uint64
	there, back    counter
	client, server *net.UDPConn
	stop           chan struct{}
	sending, work  sync.WaitGroup
	failure        atomic.Value // error
}

// counter counts different datagrams, so that none is counted twice.
type counter struct {
	mu   sync.Mutex
	seen map[uint64]bool
}

func (c *counter) see(datagram []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[binary.BigEndian.Uint64(datagram)] = true
}

func (c *counter) count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.seen))
}

// blast starts a blaster.
func (b *bench) blast(t *testing.T, from, to, at string) *blaster {
	t.Helper()
	x := &blaster{name: fmt.Sprintf("%s to %s at %s", from, to, at), stop: make(chan struct{})}
	x.there.seen, x.back.seen = map[uint64]bool{}, map[uint64]bool{}
	target := netip.MustParseAddrPort(at)
	x.server = listen(t, b, to, target)
	x.client = listen(t, b, from, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	x.work.Go(func() { x.answer() })
	x.work.Go(func() { x.collect() })
	x.sending.Go(func() { x.send(target) })
	t.Cleanup(x.close)
	return x
}

// listen opens a socket in the namespace of a pod.
func listen(t *testing.T, b *bench, pod string, at netip.AddrPort) (conn *net.UDPConn) {
	t.Helper()
	check(t, netns.Space(b.Session, pod).Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	}))
	return conn
}

func (x *blaster) answer() {
	buf := make([]byte, 8)
	for {
		n, from, err := x.server.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		x.there.see(buf[:n])
		if _, err := x.server.WriteToUDPAddrPort(buf[:n], from); err != nil {
			x.failure.Store(err)
			return
		}
	}
}

func (x *blaster) collect() {
	buf := make([]byte, 8)
	for {
		n, _, err := x.client.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		x.back.see(buf[:n])
	}
}

func (x *blaster) send(to netip.AddrPort) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for number := uint64(1); ; number++ {
		if _, err := x.client.WriteToUDPAddrPort(binary.BigEndian.AppendUint64(nil, number), to); err != nil {
			x.failure.Store(err)
			return
		}
		x.sent.Store(number)
		select {
		case <-x.stop:
			return
		case <-ticker.C:
		}
	}
}

// end stops sending and waits until nothing arrives any more.
func (x *blaster) end() {
	close(x.stop)
	x.sending.Wait()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for last, quiet := uint64(0), 0; x.back.count() < x.sent.Load() && quiet < 10; <-ticker.C {
		now := x.there.count() + x.back.count()
		if quiet++; now != last {
			last, quiet = now, 0
		}
	}
	x.close()
}

func (x *blaster) close() {
	select {
	case <-x.stop:
	default:
		close(x.stop)
	}
	x.sending.Wait()
	_ = x.client.Close()
	_ = x.server.Close()
	x.work.Wait()
}

// lostNone fails the test if a datagram or an answer is missing.
func (x *blaster) lostNone(t *testing.T) {
	t.Helper()
	x.end()
	x.healthy(t)
	sent, there, back := x.sent.Load(), x.there.count(), x.back.count()
	if there != sent || back != sent {
		t.Errorf("%s: of %d datagrams %d arrived and %d answers, want all", x.name, sent, there, back)
	}
}

// passedNone fails the test if a datagram arrived.
func (x *blaster) passedNone(t *testing.T) {
	t.Helper()
	x.end()
	x.healthy(t)
	if n := x.there.count(); n != 0 {
		t.Errorf("%s: %d of %d datagrams arrived, want none", x.name, n, x.sent.Load())
	}
}

func (x *blaster) healthy(t *testing.T) {
	t.Helper()
	if err := x.failure.Load(); err != nil {
		t.Errorf("%s: %v", x.name, err)
	}
	if x.sent.Load() < 100 {
		t.Errorf("%s: only %d datagrams were sent", x.name, x.sent.Load())
	}
}
