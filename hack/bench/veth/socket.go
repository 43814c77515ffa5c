package veth

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// patience is how long an answer may take, in milliseconds.
const patience = 1000

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
}

// socket makes a socket in the namespace of a pod; it is closed with the bed.
func (b *bed) socket(pod, kind, protocol int) (fd int, err error) {
	err = b.inside(pod, func() error {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make a socket: %w", err)
	}
	b.defers(func() error { return unix.Close(fd) })
	return fd, nil
}

// raw makes a socket that sends packets with their IP header from a pod to the other one.
func (b *bed) raw(pod int) (int, error) {
	fd, err := b.socket(pod, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, sockaddr(podAddrs[1-pod], 0)); err != nil {
		return 0, fmt.Errorf("connect a raw socket: %w", err)
	}
	return fd, nil
}

// udp makes a socket at a port of a pod, connected to the same port of the other one.
func (b *bed) udp(pod int, port uint16) (int, error) {
	fd, err := b.socket(pod, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, sockaddr(podAddrs[pod], port)); err != nil {
		return 0, fmt.Errorf("bind a UDP socket: %w", err)
	}
	if err := unix.Connect(fd, sockaddr(podAddrs[1-pod], port)); err != nil {
		return 0, fmt.Errorf("connect a UDP socket: %w", err)
	}
	return fd, nil
}

// listen makes a listening TCP socket at a port of the receiver.
func (b *bed) listen(port uint16) (int, error) {
	fd, err := b.socket(receiver, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, sockaddr(podAddrs[receiver], port)); err != nil {
		return 0, fmt.Errorf("bind a TCP socket: %w", err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return 0, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// dial connects from the sender, in whose namespace the thread must be, to a listener. The whole handshake usually
// happens within connect, as everything runs on one CPU.
func dial(listener int, port uint16) (client, server int, err error) {
	client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("make a socket: %w", err)
	}
	err = unix.Connect(client, sockaddr(podAddrs[receiver], port))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return 0, 0, errors.Join(fmt.Errorf("connect: %w", err), unix.Close(client))
	}
	server, err = accept(listener)
	if err != nil {
		return 0, 0, errors.Join(err, unix.Close(client))
	}
	return client, server, nil
}

func accept(listener int) (int, error) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return 0, fmt.Errorf("accept: %w", err)
		}
		if err := await(unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}); err != nil {
			return 0, fmt.Errorf("accept: %w", err)
		}
	}
}

// await waits until one of the sockets is ready.
func await(fds ...unix.PollFd) error {
	for {
		n, err := unix.Poll(fds, patience)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n == 0:
			return os.ErrDeadlineExceeded
		default:
			return nil
		}
	}
}

// abort closes both ends of a connection at once and leaves nothing of it in the kernel: the client resets it.
func abort(client, server int) error {
	reset := unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	return errors.Join(reset, unix.Close(client), unix.Close(server))
}
