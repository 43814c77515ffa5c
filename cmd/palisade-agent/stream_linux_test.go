package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
)

// udpPort is a list of one port.
func udpPort(port int32) []v1alpha1.Port {
	udp := corev1.ProtocolUDP
	return []v1alpha1.Port{{Protocol: &udp, Port: &port}}
}

// conn is one end of a TCP connection.
type conn struct{ net.Conn }

// stream connects from one pod to another one's port and returns both ends.
func (b *testbed) stream(from, to string, fromIP, toIP netip.Addr, port uint16) (opener, accepted conn) {
	b.Helper()
	at := netip.AddrPortFrom(toIP, port)
	b.must(b.pods[to].NS().Do(func() error {
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		b.Cleanup(func() { _ = l.Close() })
		return b.pods[from].NS().Do(func() error {
			d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(fromIP, 0))}
			if opener.Conn, err = d.DialContext(b.Context(), "tcp", at.String()); err != nil {
				return err
			}
			accepted.Conn, err = l.Accept()
			return err
		})
	}))
	b.Cleanup(func() { _ = opener.Close(); _ = accepted.Close() })
	return opener, accepted
}

// roundTrip sends a message to the other end and one back.
func (c conn) roundTrip(other conn) error {
	return errors.Join(say(c, other, "there"), say(other, c, "back"))
}

func say(from, to conn, message string) error {
	if _, err := from.Write([]byte(message)); err != nil {
		return err
	}
	if err := to.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 16)
	n, err := to.Read(buf)
	if err == nil && string(buf[:n]) != message {
		err = fmt.Errorf("got %q, want %q", buf[:n], message)
	}
	return err
}

// removePod takes a pod away.
func (b *testbed) removePod(name string) {
	b.Helper()
	b.prober.Remove(name)
	b.must(b.node.RemovePods([]*fabric.Pod{b.pods[name]}))
	delete(b.pods, name)
}

// pinNames are the names of what is pinned, sorted.
func (b *testbed) pinNames() []string {
	b.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d/node", b.pins.Fd()))
	b.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// pinnedLinks is how many links are pinned.
func (b *testbed) pinnedLinks() int {
	b.Helper()
	return len(slices.DeleteFunc(b.pinNames(), func(name string) bool { return !strings.HasPrefix(name, "link-") }))
}
