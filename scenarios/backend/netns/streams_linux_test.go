package netns_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// stream is a TCP connection between two pods, opened once, over which both sides send numbers that rise by one.
type stream struct {
	name string
	ends [2]*streamEnd // of the pod that opened it, then of the other
	stop chan struct{}
	work sync.WaitGroup
}

// streamEnd is one end of a stream.
type streamEnd struct {
	conn           *net.TCPConn
	sent, received atomic.Uint64
	failure        atomic.Value // error
	retransmitted  uint32       // segments, as the kernel counted them by the last call of count
}

// openStream opens a stream and starts to send.
func (b *bench) openStream(t *testing.T, from, to, at string) *stream {
	t.Helper()
	x := &stream{name: fmt.Sprintf("TCP from %s to %s at %s", from, to, at), stop: make(chan struct{})}
	listener := listenTCP(t, b, to, at)
	defer func() { _ = listener.Close() }()
	x.ends[0] = &streamEnd{conn: dialTCP(t, b, from, at)}
	conn, err := listener.AcceptTCP()
	check(t, err)
	x.ends[1] = &streamEnd{conn: conn}
	for _, e := range x.ends {
		x.work.Go(func() { e.note(e.receive()) })
		x.work.Go(func() { e.note(e.send(x.stop)) })
	}
	t.Cleanup(x.close)
	return x
}

// listenTCP listens inside a pod.
func listenTCP(t *testing.T, b *bench, pod, at string) (l *net.TCPListener) {
	t.Helper()
	check(t, netns.Space(b.Session, pod).Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	}))
	return l
}

// dialTCP connects from inside a pod.
func dialTCP(t *testing.T, b *bench, pod, at string) (conn *net.TCPConn) {
	t.Helper()
	check(t, netns.Space(b.Session, pod).Do(func() error {
		c, err := (&net.Dialer{Timeout: long}).DialContext(t.Context(), "tcp4", at)
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	}))
	return conn
}

// note remembers why an end stopped, if that was an error.
func (e *streamEnd) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		e.failure.CompareAndSwap(nil, err)
	}
}

// send sends numbers until stop is closed, and then says that there are no more.
func (e *streamEnd) send(stop <-chan struct{}) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for number := uint64(1); ; number++ {
		if _, err := e.conn.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
			return err
		}
		e.sent.Store(number)
		select {
		case <-stop:
			return e.conn.CloseWrite()
		case <-ticker.C:
		}
	}
}

// receive reads numbers until there are no more.
func (e *streamEnd) receive() error {
	reader := bufio.NewReader(e.conn)
	for want := uint64(1); ; want++ {
		var number uint64
		err := binary.Read(reader, binary.BigEndian, &number)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if number != want {
			return fmt.Errorf("received %d, want %d", number, want)
		}
		e.received.Store(number)
	}
}

// end stops sending, waits until both ends have read everything, and closes them.
func (x *stream) end() error {
	close(x.stop)
	deadline := time.Now().Add(long)
	var errs []error
	for _, e := range x.ends {
		errs = append(errs, e.conn.SetReadDeadline(deadline))
	}
	x.work.Wait()
	for _, e := range x.ends {
		errs = append(errs, e.count(), e.conn.Close())
	}
	return errors.Join(errs...)
}

// close ends what end has not.
func (x *stream) close() {
	for _, e := range x.ends {
		_ = e.conn.Close()
	}
	x.work.Wait()
}

// count asks the kernel how many segments were sent again that had been lost: those that the other side had received
// all the same, which it says, are what a busy machine does.
func (e *streamEnd) count() error {
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return err
	}
	var info *unix.TCPInfo
	inner := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) })
	if err := errors.Join(inner, err); err != nil {
		return err
	}
	e.retransmitted = info.Total_retrans - min(info.Total_retrans, info.Dsack_dups)
	return nil
}

// losses ends the stream and says what is wrong if the connection broke, or if an end lost a segment on the way, be it that
// TCP mended that.
func (x *stream) losses() (out []string) {
	if err := x.end(); err != nil {
		out = append(out, fmt.Sprintf("%s: %v", x.name, err))
	}
	for i, e := range x.ends {
		if err := e.failure.Load(); err != nil {
			out = append(out, fmt.Sprintf("%s, end %d: %v", x.name, i, err))
		}
		sent, received := e.sent.Load(), x.ends[1-i].received.Load()
		if sent < 100 || received != sent {
			out = append(out, fmt.Sprintf("%s, end %d: of %d numbers %d arrived, want all of at least 100", x.name, i, sent, received))
		}
		if e.retransmitted > 0 {
			out = append(out, fmt.Sprintf("%s, end %d: %d segments were lost and sent again", x.name, i, e.retransmitted))
		}
	}
	return out
}

// knocker tries to open TCP connections to a pod that must not be opened.
type knocker struct {
	name             string
	tried            atomic.Uint64
	opened, accepted atomic.Uint64 // as each end sees it: a connection that only one of them knows is one too many as well
	failure          atomic.Value  // error
	listener         *net.TCPListener
	stop             chan struct{}
	once             sync.Once
	trying           sync.WaitGroup
	accepting        sync.WaitGroup
}

// knockPatience is how long a connection may take that is not to come about. Between namespaces of one machine the kernel
// opens one while it sends the first packet.
const knockPatience = 5 * time.Millisecond

// knock starts a knocker.
func (b *bench) knock(t *testing.T, from, to, at string) *knocker {
	t.Helper()
	x := &knocker{name: fmt.Sprintf("TCP from %s to %s at %s", from, to, at), stop: make(chan struct{})}
	x.listener = listenTCP(t, b, to, at)
	space := netns.Space(b.Session, from)
	x.accepting.Go(x.accept)
	x.trying.Go(func() { x.try(space, at) })
	t.Cleanup(x.end)
	return x
}

// accept counts connections that the pod has got.
func (x *knocker) accept() {
	for {
		conn, err := x.listener.Accept()
		if err != nil {
			return
		}
		x.accepted.Add(1)
		_ = conn.Close()
	}
}

// try sends one SYN after the other.
func (x *knocker) try(from *ns.NS, at string) {
	dialer := net.Dialer{Timeout: knockPatience}
	for {
		var conn net.Conn
		err := from.Do(func() (err error) {
			conn, err = dialer.Dial("tcp4", at)
			return err
		})
		var failure net.Error
		switch {
		case err == nil:
			x.opened.Add(1)
			_ = conn.Close()
		case !errors.As(err, &failure) || !failure.Timeout():
			x.failure.CompareAndSwap(nil, err)
		}
		x.tried.Add(1)
		select {
		case <-x.stop:
			return
		default:
		}
	}
}

// end stops, once. The listener goes last: what is tried at the same time would be refused, which is no drop.
func (x *knocker) end() {
	x.once.Do(func() {
		close(x.stop)
		x.trying.Wait()
		_ = x.listener.Close()
		x.accepting.Wait()
	})
}

// passages ends the knocker and says what is wrong if a connection was opened, or refused by whom it should not have reached.
func (x *knocker) passages() (out []string) {
	x.end()
	if err := x.failure.Load(); err != nil {
		out = append(out, fmt.Sprintf("%s: %v", x.name, err))
	}
	if tried, opened, accepted := x.tried.Load(), x.opened.Load(), x.accepted.Load(); opened > 0 || accepted > 0 || tried < 20 {
		out = append(out, fmt.Sprintf("%s: of %d connections %d were opened and %d accepted, want none of at least 20", x.name, tried, opened, accepted))
	}
	return out
}

// until waits for something that is under way.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for ticker := time.NewTicker(pace); !done(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

// TestStreamsAndKnockersNoticeWhatTheyAreFor: what is asked of them under faults must not be what they can never say.
func TestStreamsAndKnockersNoticeWhatTheyAreFor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	s, err := netns.New(netns.Options{}).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	b, c := &bench{Session: s}, cluster()
	for _, p := range c.Pods {
		p.Labels = map[string]string{"pod": p.Name}
	}
	check(t, b.Apply(t.Context(), c))
	x, y := b.openStream(t, "default/a", "default/b", "10.0.1.2:5000"), b.knock(t, "default/a", "default/c", "10.0.2.1:5000")
	until(t, "a connection comes about", func() bool { return y.opened.Load() > 0 })
	until(t, "numbers arrive", func() bool { return x.ends[1].received.Load() > 100 })

	c.Policies = []*networkingv1.NetworkPolicy{isolate("b", networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)}
	check(t, b.Apply(t.Context(), c))
	until(t, "both ends send again", func() bool {
		for _, e := range x.ends {
			check(t, e.count())
		}
		return x.ends[0].retransmitted > 0 && x.ends[1].retransmitted > 0
	})
	c.Policies = nil
	check(t, b.Apply(t.Context(), c))
	got := x.losses()
	if len(got) != 2 || !strings.Contains(got[0], "sent again") || !strings.Contains(got[1], "sent again") {
		t.Errorf("packets of both ends were dropped for a while, and the stream says %q", got)
	}
	if got = y.passages(); len(got) != 1 || !strings.Contains(got[0], "were opened") {
		t.Errorf("all connections were opened, and the knocker says %q", got)
	}
}
