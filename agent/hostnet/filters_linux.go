package hostnet

import (
	"context"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/core"
)

// shared is the index that the kernel gives for what is on several interfaces (TCM_IFINDEX_MAGIC_BLOCK).
const shared = -1

// subscribeFilters sends on whose hooks filters and qdiscs change, until ctx is done or notifications were lost.
func subscribeFilters(ctx context.Context, to chan<- []core.FiltersTouched, lost context.CancelCauseFunc) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_TC)
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
			case to <- touched(messages):
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// touched says what messages are about, the same only once.
func touched(messages []syscall.NetlinkMessage) []core.FiltersTouched {
	var list []core.FiltersTouched
	seen := map[core.FiltersTouched]bool{}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWTFILTER, unix.RTM_DELTFILTER, unix.RTM_DELCHAIN, unix.RTM_NEWQDISC, unix.RTM_DELQDISC:
		default:
			continue
		}
		if len(m.Data) < nl.SizeofTcMsg {
			continue
		}
		t := core.FiltersTouched{Removed: m.Header.Type == unix.RTM_DELTFILTER || m.Header.Type == unix.RTM_DELQDISC}
		if ifindex := nl.DeserializeTcMsg(m.Data).Ifindex; ifindex != shared {
			t.Ifindex = uint32(ifindex)
		}
		if !seen[t] {
			seen[t] = true
			list = append(list, t)
		}
	}
	return list
}
