package veth

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// payload of a UDP packet, in bytes.
const payload = 64

// between is the flow of a protocol from the sender to the receiver.
func between(p flow.Protocol, srcPort, dstPort uint16) flow.Tuple {
	return flow.Tuple{Src: podAddrs[sender], Dst: podAddrs[receiver], Protocol: p, SrcPort: srcPort, DstPort: dstPort}
}

// tcpEstablished sends later segments of one connection, of which filters have seen the handshake.
func tcpEstablished(b *bed) (*traffic, error) {
	var fds [2]int
	var err error
	for pod := range fds {
		if fds[pod], err = b.raw(pod); err != nil {
			return nil, err
		}
	}
	t := between(flow.TCP, 40000, firstPort)
	later := newBurst(len(segment(t, frame.Later)))
	for i := range later.data {
		copy(later.data[i], segment(t, frame.Later))
	}
	handshake := func() error {
		return errors.Join(sendOne(fds[sender], segment(t, frame.First)),
			sendOne(fds[receiver], segment(t.Reply(), frame.Answer)), sendOne(fds[sender], segment(t, frame.Later)))
	}
	return &traffic{
		ops: batch, packets: batch, oneWay: true,
		open:  handshake,
		batch: func() error { return later.send(fds[sender]) },
	}, nil
}

func sendOne(fd int, packet []byte) error {
	if _, err := unix.Write(fd, packet); err != nil {
		return fmt.Errorf("send a packet: %w", err)
	}
	return nil
}

// tcpNew sends the first segments of connections, each of another one.
func tcpNew(b *bed) (*traffic, error) {
	fd, err := b.raw(sender)
	if err != nil {
		return nil, err
	}
	first := segment(between(flow.TCP, 0, firstPort), frame.First)
	syns, next := newBurst(len(first)), uint32(0)
	advance := func() error {
		for i := range syns.data {
			copy(syns.data[i], first)
			address(syns.data[i], next)
			next++
		}
		return nil
	}
	return &traffic{
		ops: batch, packets: batch, oneWay: true, leaves: true,
		open: advance, batch: func() error { return syns.send(fd) }, settle: advance,
	}, nil
}

// udpEstablished sends packets of one flow that was answered once. They are taken out of the receiver's socket beside
// the clock.
func udpEstablished(b *bed) (*traffic, error) {
	from, to, err := udpPair(b, firstPort)
	if err != nil {
		return nil, err
	}
	out, in := newBurst(payload), newBurst(payload)
	return &traffic{
		ops: batch, packets: batch, oneWay: true,
		open:   func() error { return trip(from, to, out.data[0]) },
		batch:  func() error { return out.send(from) },
		settle: func() error { return in.receive(to) },
	}, nil
}

// udpTrips asks and answers, one packet at a time.
func udpTrips(b *bed) (*traffic, error) {
	from, to, err := udpPair(b, firstPort+1)
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, payload)
	trips := func() error {
		for range batch {
			if err := trip(from, to, buffer); err != nil {
				return err
			}
		}
		return nil
	}
	return &traffic{
		ops: batch, packets: batch,
		open: func() error { return trip(from, to, buffer) }, batch: trips,
	}, nil
}

func udpPair(b *bed, port uint16) (from, to int, err error) {
	if from, err = b.udp(sender, port); err != nil {
		return 0, 0, err
	}
	to, err = b.udp(receiver, port)
	return from, to, err
}

// trip sends a packet there and one back.
func trip(from, to int, buffer []byte) error {
	for _, hop := range [][2]int{{from, to}, {to, from}} {
		if _, err := unix.Write(hop[0], buffer); err != nil {
			return fmt.Errorf("send a packet: %w", err)
		}
		if err := take(hop[1], buffer); err != nil {
			return fmt.Errorf("receive a packet: %w", err)
		}
	}
	return nil
}

// take reads one packet. It has usually arrived when it was sent.
func take(fd int, buffer []byte) error {
	for {
		_, err := unix.Read(fd, buffer)
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if err := await(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}); err != nil {
			return err
		}
	}
}
