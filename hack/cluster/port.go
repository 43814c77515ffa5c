package cluster

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservedPort is a TCP port of 127.0.0.1 that stays ours while the API server is down. The socket is bound with
// SO_REUSEPORT and never listens, so it gets no connections; only processes of this user that also set the option can
// listen there.
type reservedPort struct {
	number int
	fd     int
}

func reservePort() (*reservedPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve port: %w", err)
	}
	p := &reservedPort{fd: fd}
	if err := p.bind(); err != nil {
		p.close()
		return nil, fmt.Errorf("reserve port: %w", err)
	}
	return p, nil
}

func (p *reservedPort) bind() error {
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	name, err := unix.Getsockname(p.fd)
	if err != nil {
		return err
	}
	p.number = name.(*unix.SockaddrInet4).Port
	return nil
}

// close gives the port back. It may be called more than once, and on nil.
func (p *reservedPort) close() {
	if p == nil || p.fd < 0 {
		return
	}
	_ = unix.Close(p.fd)
	p.fd = -1
}
