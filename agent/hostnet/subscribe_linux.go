package hostnet

import (
	"context"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer is room for the notifications of some thousand interfaces, in bytes.
const receiveBuffer = 1 << 20

// subscribe sends what the kernel tells to groups, as read reads it and in the order in which it was told, until ctx is
// done or notifications were lost.
func subscribe[T any](
	ctx context.Context, lost context.CancelCauseFunc,
	to chan<- T, read func([]syscall.NetlinkMessage) T, groups ...uint,
) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return err
	}
	if err := s.SetReceiveBufferSize(receiveBuffer, false); err != nil {
		s.Close()
		return err
	}
	stop := context.AfterFunc(ctx, s.Close)
	go func() {
		defer stop()
		defer s.Close()
		for {
			messages, from, err := s.Receive()
			if err != nil {
				lost(err)
				return
			}
			if from.Pid != nl.PidKernel {
				continue
			}
			select {
			case to <- read(messages):
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}
