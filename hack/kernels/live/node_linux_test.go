package live_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestNodeEndsItsConnections: a pod that is isolated from its node sees the end of what the node has opened, also where that is said by the
// node's kernel after the process has gone: it acknowledges the pod's FIN, and resets what it does not know any more. In IPv6 such packets
// have no socket.
func TestNodeEndsItsConnections(t *testing.T) {
	for _, server := range []netip.Addr{server4, server6} {
		t.Run(flow.FamilyOf(server).String(), func(t *testing.T) {
			w := newWire(t, hook.Auto)
			w.apply(t, state{server: true})
			check(t, w.node.NS().Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_fin_timeout", []byte("1"), 0) }))
			before := w.counted(t)

			// The node closes, then the pod, whose FIN is acknowledged.
			c, s := w.call(t, server)
			check(t, c.Close())
			_, err := io.ReadAll(s)
			check(t, err)
			fd := duplicate(t, s)
			check(t, s.Close())
			within(t, 5*time.Second, "the pod's FIN is acknowledged", func() bool { return tcpState(t, fd) == tcpClosed })

			// The node closes and forgets; what the pod then sends is reset.
			c, s = w.call(t, server)
			check(t, c.Close())
			time.Sleep(1500 * time.Millisecond)
			within(t, 10*time.Second, "the pod's connection is reset", func() bool {
				_, err := s.Write([]byte("is anybody there?"))
				return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
			})
			check(t, s.Close())

			for reason, n := range w.counted(t).since(before)[flow.Ingress] {
				if reason.Verdict() == flow.Deny && n > 0 {
					t.Errorf("%d packets of the node to its pod were dropped: %s", n, reason)
				}
			}
		})
	}
}

const tcpClosed = 7 // TCP_CLOSE of <netinet/tcp.h>

// call connects the node to a port of the server that no policy allows.
func (w *wire) call(t *testing.T, server netip.Addr) (node, pod net.Conn) {
	t.Helper()
	var l net.Listener
	check(t, w.server.NS().Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(server, 81).String())
		return err
	}))
	defer func() { check(t, l.Close()) }()
	check(t, w.node.NS().Do(func() (err error) {
		node, err = net.DialTimeout("tcp", netip.AddrPortFrom(server, 81).String(), 20*time.Second)
		return err
	}))
	pod, err := l.Accept()
	check(t, err)
	return node, pod
}

// duplicate returns a descriptor of a connection that stays open when it is closed, after a shutdown.
func duplicate(t *testing.T, c net.Conn) int {
	t.Helper()
	file, err := c.(*net.TCPConn).File()
	check(t, err)
	t.Cleanup(func() { check(t, file.Close()) })
	check(t, unix.Shutdown(int(file.Fd()), unix.SHUT_WR))
	return int(file.Fd())
}

func tcpState(t *testing.T, fd int) uint8 {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	check(t, err)
	return info.State
}

// within waits for what must come to be.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > limit {
			t.Fatalf("after %s it is not so: %s", limit, what)
		}
	}
}
