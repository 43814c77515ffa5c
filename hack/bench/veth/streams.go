package veth

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// tcpConnections makes connections and resets them, one after another: a SYN, its answer, an ACK and a RST.
func tcpConnections(b *bed) (*traffic, error) {
	const port, ops = firstPort + 2, 4
	listener, err := b.listen(port)
	if err != nil {
		return nil, err
	}
	one := func() error {
		client, server, err := dial(listener, port)
		if err != nil {
			return err
		}
		return abort(client, server)
	}
	connect := func() error {
		for range ops {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}
	return &traffic{
		ops: ops, packets: 3 * ops, leaves: true, open: one, batch: connect,
	}, nil
}

// A batch of tcpStream moves so many bytes, by writes of at most so many.
const (
	megabyte = 1_000_000
	chunk    = 64 << 10
)

// tcpStream moves a megabyte through one connection, as large as the segments get.
func tcpStream(b *bed) (*traffic, error) {
	const port = firstPort + 3
	listener, err := b.listen(port)
	if err != nil {
		return nil, err
	}
	s := &stream{client: -1, buffer: make([]byte, chunk)}
	b.defers(s.close)
	open := func() error {
		if err := s.close(); err != nil {
			return err
		}
		s.client, s.server, err = dial(listener, port)
		return err
	}
	return &traffic{
		ops: 1, packets: megabyte / chunk, open: open, batch: s.move,
	}, nil
}

// stream is a connection both of whose ends are ours.
type stream struct {
	client, server int // client is -1 while there is none
	buffer         []byte
}

func (s *stream) close() error {
	if s.client < 0 {
		return nil
	}
	client := s.client
	s.client = -1
	return abort(client, s.server)
}

// move sends a megabyte and reads it again.
func (s *stream) move() error {
	for sent, got := 0, 0; got < megabyte; {
		out, err := progress(unix.Write, s.client, s.buffer[:min(chunk, megabyte-sent)])
		if err != nil {
			return fmt.Errorf("write a stream: %w", err)
		}
		in, err := progress(unix.Read, s.server, s.buffer)
		if err != nil {
			return fmt.Errorf("read a stream: %w", err)
		}
		sent, got = sent+out, got+in
		if out+in == 0 {
			if err := await(unix.PollFd{Fd: int32(s.server), Events: unix.POLLIN}); err != nil {
				return fmt.Errorf("%d of %d bytes arrived: %w", got, megabyte, err)
			}
		}
	}
	return nil
}

// progress reads or writes what can be without waiting, which may be nothing.
func progress(do func(int, []byte) (int, error), fd int, buffer []byte) (int, error) {
	if len(buffer) == 0 {
		return 0, nil
	}
	n, err := do(fd, buffer)
	if errors.Is(err, unix.EAGAIN) {
		return 0, nil
	}
	return n, err
}
