package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
)

// spacing is the time between two packets of a stream.
const spacing = 250 * time.Microsecond

// arrival is a packet that arrived, and when the kernel received it in the pod, after all filters.
type arrival struct {
	number int
	at     time.Time
}

// stream is numbered UDP packets of one flow from one pod to another. Times are by the wall clock, which is what the
// kernel stamps packets with.
type stream struct {
	out, in *net.UDPConn
	stop    atomic.Bool
	group   sync.WaitGroup

	mu      sync.Mutex
	sent    []time.Time // by number: just before it was sent
	arrived []arrival
	err     error
}

func newStream(from, to *fabric.Pod, src, dst netip.AddrPort) (*stream, error) {
	s := &stream{}
	var err error
	if s.in, err = listen(to, dst); err != nil {
		return nil, err
	}
	if s.out, err = listen(from, src); err != nil {
		return nil, errors.Join(err, s.in.Close())
	}
	if err := stampArrivals(s.in); err != nil {
		return nil, errors.Join(err, s.in.Close(), s.out.Close())
	}
	s.group.Go(func() { s.note(s.send(dst)) })
	s.group.Go(func() { s.note(s.receive()) })
	return s, nil
}

func listen(p *fabric.Pod, at netip.AddrPort) (conn *net.UDPConn, err error) {
	err = p.NS().Do(func() error {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	return conn, err
}

// stampArrivals makes the kernel tell when it received a packet, and keep those for which the reader is late.
func stampArrivals(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	})
	return errors.Join(err, set)
}

// send sends a packet at every multiple of spacing, from a thread that sleeps by itself: the runtime's timers
// are coarser.
func (s *stream) send(to netip.AddrPort) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var packet [8]byte
	next := time.Now()
	for number := 0; !s.stop.Load(); number++ {
		binary.BigEndian.PutUint64(packet[:], uint64(number))
		s.mu.Lock()
		s.sent = append(s.sent, time.Now().Round(0))
		s.mu.Unlock()
		if _, err := s.out.WriteToUDPAddrPort(packet[:], to); err != nil && !s.stop.Load() {
			return fmt.Errorf("send packet %d: %w", number, err)
		}
		if next = next.Add(spacing); time.Until(next) < -spacing {
			next = time.Now() // what was missed is not made up for
		}
		pause := unix.NsecToTimespec(max(0, time.Until(next).Nanoseconds()))
		if err := unix.Nanosleep(&pause, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sleep: %w", err)
		}
	}
	return nil
}

// receive notes arrivals until the socket is closed.
func (s *stream) receive() error {
	packet, control := make([]byte, 64), make([]byte, 128)
	for {
		n, cn, _, _, err := s.in.ReadMsgUDPAddrPort(packet, control)
		if s.stop.Load() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		at, err := stamp(control[:cn])
		if err != nil {
			return err
		}
		if n != 8 {
			return fmt.Errorf("received %d bytes", n)
		}
		s.mu.Lock()
		s.arrived = append(s.arrived, arrival{int(binary.BigEndian.Uint64(packet)), at})
		s.mu.Unlock()
	}
}

// stamp reads the time from the control message that SO_TIMESTAMPNS asks for.
func stamp(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time of arrival: %w", err)
	}
	for _, m := range messages {
		if m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix()), nil
		}
	}
	return time.Time{}, errors.New("read time of arrival: the kernel does not tell")
}

func (s *stream) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// counts are how many packets were sent and arrived so far, and the error that ended the stream.
func (s *stream) counts() (sent, arrived int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent), len(s.arrived), s.err
}

// end stops the stream and returns its error.
func (s *stream) end() error {
	s.stop.Store(true)
	err := errors.Join(s.in.Close(), s.out.Close())
	s.group.Wait()
	return errors.Join(err, s.err)
}
