package prober

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// domain is the address family of a socket that speaks to a.
func domain(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// addrOf is the address in sa, without zone.
func addrOf(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// open makes a non-blocking socket inside a namespace and prepares it there.
func open(n *ns.NS, domain, typ, proto int, prepare func(fd int) error) (*os.File, error) {
	var file *os.File
	err := n.Do(func() error {
		fd, err := unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			return fmt.Errorf("open a socket: %w", err)
		}
		if err := prepare(fd); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		file = os.NewFile(uintptr(fd), "socket")
		return nil
	})
	return file, err
}

// withFD runs f on the descriptor of a socket without waiting for anything.
func withFD(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	return errors.Join(raw.Control(func(fd uintptr) { inner = f(int(fd)) }), inner)
}

// whenWritable runs f on the descriptor of a socket each time it may be written, until f is done or the deadline of the
// socket has passed.
func whenWritable(file *os.File, f func(fd int) (done bool, err error)) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Write(func(fd uintptr) bool {
		var done bool
		done, inner = f(int(fd))
		return done || inner != nil
	})
	return errors.Join(err, inner)
}
