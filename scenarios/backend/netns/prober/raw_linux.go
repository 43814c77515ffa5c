package prober

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// queue is the size of a raw socket's receive queue in bytes: a few thousand packets.
const queue = 4 << 20

// raw is a raw IP socket of one transport protocol. What it receives goes to hear, and the packets that came back in an
// ICMP error to fail, both without their IP header and with the descriptor to answer on.
type raw struct {
	file *os.File
	hear func(fd int, src netip.Addr, segment []byte)
	fail func(segment []byte, err error)

	mu  sync.Mutex // held while the socket is read
	buf []byte
}

// listenRaw opens a raw socket inside a namespace; prepare may bind it.
func listenRaw(n *ns.NS, domain, proto int, prepare func(fd int) error) (*raw, error) {
	file, err := open(n, domain, unix.SOCK_RAW, proto, func(fd int) error {
		if err := enlarge(fd); err != nil {
			return fmt.Errorf("enlarge a receive queue: %w", err)
		}
		return prepare(fd)
	})
	if err != nil {
		return nil, err
	}
	return &raw{file: file, fail: func([]byte, error) {}, buf: make([]byte, 1<<16)}, nil
}

// enlarge makes room for packets that nobody has read yet: as much as is wanted, or without CAP_NET_ADMIN as the system
// allows.
func enlarge(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue)
	if errors.Is(err, unix.EPERM) {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	return err
}

// serve reads until the socket is closed.
func (r *raw) serve() error {
	conn, err := r.file.SyscallConn()
	if err != nil {
		return err
	}
	err = conn.Read(func(fd uintptr) bool { r.read(int(fd)); return false })
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// drain reads what has arrived by now.
func (r *raw) drain() error {
	return withFD(r.file, func(fd int) error { r.read(fd); return nil })
}

func (r *raw) read(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		n, from, err := unix.Recvfrom(fd, r.buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			r.readErrors(fd)
		default:
			src := addrOf(from)
			r.hear(fd, src, withoutHeader(src, r.buf[:n]))
		}
	}
}

// withoutHeader strips the IP header that raw IPv4 sockets deliver.
func withoutHeader(src netip.Addr, packet []byte) []byte {
	if !src.Is4() || len(packet) == 0 {
		return packet
	}
	return packet[min(int(packet[0]&0xf)*4, len(packet)):]
}

// readErrors empties the error queue.
func (r *raw) readErrors(fd int) {
	control := make([]byte, 512)
	for {
		n, oobn, _, _, err := unix.Recvmsg(fd, r.buf, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		r.fail(r.buf[:n], icmpError(control[:oobn]))
	}
}

// icmpError finds in control messages what an ICMP error means.
func icmpError(control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return fmt.Errorf("read an ICMP error: %w", err)
	}
	for _, m := range messages {
		if len(m.Data) >= 4 {
			return unix.Errno(binary.NativeEndian.Uint32(m.Data)) // struct sock_extended_err begins with ee_errno
		}
	}
	return errors.New("ICMP error")
}

// ports are the source and destination port that TCP, UDP and SCTP segments begin with.
func ports(segment []byte) (src, dst uint16, ok bool) {
	if len(segment) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:]), true
}
