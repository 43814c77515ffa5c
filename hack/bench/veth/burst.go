package veth

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many packets one system call sends.
const batch = 16

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	length uint32
}

// burst is a batch of packets that one system call sends or receives by a connected socket.
type burst struct {
	data     [batch][]byte
	pieces   [batch]unix.Iovec
	messages [batch]message
}

// newBurst makes packets of a size in bytes.
func newBurst(size int) *burst {
	b := &burst{}
	for i := range b.data {
		b.data[i] = make([]byte, size)
		b.pieces[i].Base = unsafe.SliceData(b.data[i])
		b.pieces[i].SetLen(size)
		b.messages[i].header.Iov = &b.pieces[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

// shorten makes a packet of the burst end after so many bytes.
func (b *burst) shorten(i, size int) {
	b.data[i] = b.data[i][:size]
	b.pieces[i].SetLen(size)
}

// send sends the whole burst. It neither blocks nor takes less.
func (b *burst) send(fd int) error {
	n, err := b.call(unix.SYS_SENDMMSG, fd, b.messages[:])
	if err == nil && n != batch {
		err = fmt.Errorf("%d of %d were taken", n, batch)
	}
	if err != nil {
		return fmt.Errorf("send packets: %w", err)
	}
	return nil
}

// receive takes a whole burst out of the socket. It has usually arrived when it was sent.
func (b *burst) receive(fd int) error {
	for got := 0; got < batch; {
		n, err := b.call(unix.SYS_RECVMMSG, fd, b.messages[got:])
		if errors.Is(err, unix.EAGAIN) {
			n, err = 0, await(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
		if err != nil {
			return fmt.Errorf("receive packets, %d of %d have arrived: %w", got, batch, err)
		}
		got += n
	}
	return nil
}

func (b *burst) call(number uintptr, fd int, m []message) (int, error) {
	first, count := uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m))
	n, _, errno := unix.Syscall6(number, uintptr(fd), first, count, unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(b)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
