package prober

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
)

// patience is how long a listener waits for a client that connected: longer than any probe.
const patience = 10 * time.Second

// listenTCP answers connections to an address and port.
func (h *host) listenTCP(at netip.AddrPort) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	var l net.Listener
	err := h.ns.Do(func() (err error) {
		l, err = config.Listen(context.Background(), "tcp", at.String())
		return err
	})
	if err != nil {
		return err
	}
	h.serve(l, func() error { return h.accept(l) })
	return nil
}

func (h *host) accept(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if !h.keep(c) {
			return nil
		}
		h.work.Go(func() {
			defer h.drop(c)
			h.answerTCP(c.(*net.TCPConn))
		})
	}
}

// answerTCP answers questions and leaves it to the client to close, so that no half-closed connection outlives a policy
// that cuts it, and with it the namespace. Errors are the client's to observe.
func (h *host) answerTCP(c *net.TCPConn) {
	if errors.Join(c.SetLinger(0), c.SetDeadline(time.Now().Add(patience))) != nil {
		return
	}
	say := func(number uint64) error {
		_, err := c.Write(message(number, h.name))
		return err
	}
	from := netip.MustParseAddrPort(c.RemoteAddr().String()).Port()
	for q := make([]byte, 8); ; {
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		number, _ := asked(q)
		if h.sky.hear(flow.TCP, from, number, say) && c.SetDeadline(time.Time{}) != nil {
			return
		}
		if say(number) != nil {
			return
		}
	}
}

// listenUDP answers datagrams to an address and port.
func (h *host) listenUDP(at netip.AddrPort) error {
	var c *net.UDPConn
	err := h.ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return err
	}
	h.serve(c, func() error { return h.echo(c) })
	return nil
}

// echo answers every question. An answer that cannot be sent is the client's to observe.
func (h *host) echo(c *net.UDPConn) error {
	buf := make([]byte, 512)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		number, ok := asked(buf[:n])
		if !ok {
			continue
		}
		say := func(number uint64) error {
			_, err := c.WriteToUDPAddrPort(message(number, h.name), from)
			return err
		}
		h.sky.hear(flow.UDP, from.Port(), number, say)
		_ = say(number)
	}
}
