package live_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// expectPing sends an echo request from the client to the server, and says whether an answer must come.
func (w *world) expectPing(t *testing.T, want bool) {
	t.Helper()
	network, own := "ip4:icmp", w.client.String()
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if w.client.Is6() {
		network, request, reply = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	var socket *icmp.PacketConn
	check(t, w.pods["client"].NS().Do(func() (err error) {
		socket, err = icmp.ListenPacket(network, own)
		return err
	}))
	defer func() { _ = socket.Close() }()
	echo := icmp.Message{Type: request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: []byte("palisade")}}
	packet, err := echo.Marshal(nil) // the kernel fills in the checksum of ICMPv6
	check(t, err)
	_, err = socket.WriteTo(packet, &net.IPAddr{IP: w.server.AsSlice()})
	check(t, err)
	if got := answered(t, socket, reply, want); got != want {
		t.Errorf("ping was answered: %t, want %t", got, want)
	}
}

// answered waits for a message of a type.
func answered(t *testing.T, socket *icmp.PacketConn, reply icmp.Type, hope bool) bool {
	t.Helper()
	patience := short
	if hope {
		patience = long
	}
	check(t, socket.SetReadDeadline(time.Now().Add(patience)))
	buffer := make([]byte, 1500)
	for {
		n, _, err := socket.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		check(t, err)
		m, err := icmp.ParseMessage(reply.Protocol(), buffer[:n])
		check(t, err)
		if m.Type == reply {
			return true
		}
	}
}
