package live_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

const mtu = 1500

// TestSegments sends what the kernel's own stack makes of large data — packets of many segments, whose data lies in
// the pages of a file, and datagrams in fragments — from an isolated pod to an isolated one, by way of the node.
func TestSegments(t *testing.T) {
	for name, mode := range modes() {
		for family, ends := range map[string][2]netip.Addr{"IPv4": {client4, server4}, "IPv6": {client6, server6}} {
			t.Run(name+"/"+family, func(t *testing.T) {
				w := newWire(t, mode)
				w.apply(t, state{client: true, server: true})
				t.Run("a file over TCP", func(t *testing.T) { w.sendFile(t, ends[1]) })
				t.Run("datagrams in fragments", func(t *testing.T) { w.sendFragments(t, ends[1]) })
				t.Run("datagrams by the dozen", func(t *testing.T) { w.sendDatagrams(t, ends[1]) })
			})
		}
	}
}

// dial connects from inside a namespace.
func dial(t *testing.T, n *ns.NS, network string, to netip.AddrPort, control func(fd int) error) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: long, Control: func(_, _ string, c syscall.RawConn) (err error) {
		if control == nil {
			return nil
		}
		return errors.Join(c.Control(func(fd uintptr) { err = control(int(fd)) }), err)
	}}
	var conn net.Conn
	check(t, n.Do(func() (err error) {
		conn, err = d.DialContext(t.Context(), network, to.String())
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	check(t, conn.SetDeadline(time.Now().Add(3*long)))
	return conn
}

// sendFile sends a file with sendfile(2): each byte arrives, each segment is counted, and the packets were larger
// than the link's.
func (w *wire) sendFile(t *testing.T, server netip.Addr) {
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	name := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(name, content, 0o600))
	file, err := os.Open(name)
	check(t, err)
	defer func() { check(t, file.Close()) }()
	to, sum := netip.AddrPortFrom(server, 80), make(chan [sha256.Size]byte, 1)
	var listener net.Listener
	check(t, w.server.NS().Do(func() error {
		listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", to.String())
		return err
	}))
	defer func() { check(t, listener.Close()) }()
	go func() { sum <- receive(listener) }()
	far, before := plug(t, w.server, false), w.counted(t)
	conn := dial(t, w.client.NS(), "tcp", to, nil)
	_, err = io.Copy(conn, file)
	check(t, errors.Join(err, conn.Close()))
	if got := <-sum; got != sha256.Sum256(content) {
		t.Error("what was received is not what was sent")
	}
	segments := uint64(len(content) / (mtu - 40))
	for dir, more := range w.counted(t).since(before) {
		if more[bpf.ReasonPolicy] < segments {
			t.Errorf("%s: counted %v, want %d segments or more", dir, more, segments)
		}
		expectNoDrop(t, dir, more)
	}
	for buffer := make([]byte, 1<<17); ; {
		if len(far.next(t, buffer)) > mtu+14 {
			return
		}
	}
}

// receive reads one connection to its end.
func receive(l net.Listener) (sum [sha256.Size]byte) {
	conn, err := l.Accept()
	if err != nil {
		return sum
	}
	defer func() { _ = conn.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, conn); err != nil {
		return sum
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func expectNoDrop(t *testing.T, dir flow.Direction, more map[bpf.Reason]uint64) {
	t.Helper()
	for r, n := range more {
		if r.Verdict() == flow.Deny {
			t.Errorf("%s: %d packets were dropped for %s", dir, n, r)
		}
	}
}

// hear opens a UDP socket on a port of the server.
func (w *wire) hear(t *testing.T, at netip.AddrPort) net.PacketConn {
	var socket net.PacketConn
	check(t, w.server.NS().Do(func() (err error) {
		socket, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", at.String())
		return err
	}))
	t.Cleanup(func() { _ = socket.Close() })
	check(t, socket.SetDeadline(time.Now().Add(long)))
	return socket
}

// sendFragments: later fragments follow their first one, whichever way its verdict goes (78).
func (w *wire) sendFragments(t *testing.T, server netip.Addr) {
	const size = 20_000
	perFragment := mtu - 20
	if server.Is6() {
		perFragment = (mtu - 40 - 8) &^ 7
	}
	later := uint64((size + 8 - 1) / perFragment)
	socket, datagram := w.hear(t, netip.AddrPortFrom(server, 80)), bytes.Repeat([]byte("palisade"), size/8)
	denied, allowed := dial(t, w.client.NS(), "udp", netip.AddrPortFrom(server, 81), nil),
		dial(t, w.client.NS(), "udp", netip.AddrPortFrom(server, 80), nil)
	before := w.counted(t)
	for _, conn := range []net.Conn{denied, allowed} {
		_, err := conn.Write(datagram)
		check(t, err)
	}
	got := make([]byte, 1<<16)
	n, _, err := socket.ReadFrom(got)
	check(t, err)
	if !bytes.Equal(got[:n], datagram) {
		t.Error("what was received is not what was sent")
	}
	passed := map[bpf.Reason]uint64{bpf.ReasonPolicy: 1, bpf.ReasonLaterFragment: later}
	dropped := map[bpf.Reason]uint64{bpf.ReasonNoRule: 1, bpf.ReasonFragment: later}
	w.expectExactly(t, before, packets{flow.Egress: union(passed, dropped), flow.Ingress: passed})
}

// sendDatagrams lets the kernel cut one buffer into datagrams as late as it can (UDP_SEGMENT).
func (w *wire) sendDatagrams(t *testing.T, server netip.Addr) {
	const count, size = 24, 1000
	to := netip.AddrPortFrom(server, 80)
	socket := w.hear(t, to)
	conn := dial(t, w.client.NS(), "udp", to, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, size)
	})
	before := w.counted(t)
	_, err := conn.Write(make([]byte, count*size))
	check(t, err)
	buffer := make([]byte, 1<<16)
	for range count {
		n, _, err := socket.ReadFrom(buffer)
		check(t, err)
		if n != size {
			t.Errorf("a datagram has %d bytes, want %d", n, size)
		}
	}
	all := map[bpf.Reason]uint64{bpf.ReasonPolicy: count}
	w.expectExactly(t, before, packets{flow.Egress: all, flow.Ingress: all})
}

func union(a, b map[bpf.Reason]uint64) map[bpf.Reason]uint64 {
	all := map[bpf.Reason]uint64{}
	for _, m := range []map[bpf.Reason]uint64{a, b} {
		for r, n := range m {
			all[r] += n
		}
	}
	return all
}

// expectExactly compares what was counted, but for the neighbours that the kernels look for of their own accord.
func (w *wire) expectExactly(t *testing.T, before, want packets) {
	t.Helper()
	got := w.counted(t).since(before)
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		got[dir][bpf.ReasonNeighbour]++ // alike expects the fence that is behind each frame of a line
	}
	if !alike(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
