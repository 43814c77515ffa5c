package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Event is a packet that a program denied, or several that the kernel kept together.
type Event struct {
	Time    time.Time
	Ifindex uint32
	// Set, Class and Epoch are what the decision was made on: numbers of the Image that was live in that epoch.
	Set, Class, Epoch uint32
	Direction         flow.Direction
	Reason            Reason
	// Tuple has no addresses where the packet is no IP or cannot be read, and no ports where its protocol has none.
	Tuple flow.Tuple
}

// eventSize is how long an event is in the ring.
const eventSize = int(unsafe.Sizeof(kernelEvent{}))

// parseEvent reads what a program wrote. boot is the time at which CLOCK_MONOTONIC was zero.
func parseEvent(raw []byte, boot time.Time) (Event, error) {
	if len(raw) < eventSize {
		return Event{}, fmt.Errorf("event of %d bytes, want %d", len(raw), eventSize)
	}
	var k kernelEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&k)), eventSize), raw)
	e := Event{
		Time: boot.Add(time.Duration(k.TimeNs)), Ifindex: k.Ifindex, Set: k.Set, Class: k.Class, Epoch: k.Epoch,
		Direction: flow.Direction(k.Direction), Reason: Reason(k.Reason), Tuple: flow.Tuple{Protocol: flow.Protocol(k.Protocol)},
	}
	if e.Direction > flow.Ingress || e.Reason < ReasonFirstDrop || e.Reason >= ReasonCount {
		return Event{}, fmt.Errorf("event of direction %d and reason %d, which is no denial", k.Direction, k.Reason)
	}
	switch flow.Family(k.Family) {
	case flow.IPv4:
		e.Tuple.Src, e.Tuple.Dst = netip.AddrFrom16(k.Src).Unmap(), netip.AddrFrom16(k.Dst).Unmap()
	case flow.IPv6:
		e.Tuple.Src, e.Tuple.Dst = netip.AddrFrom16(k.Src), netip.AddrFrom16(k.Dst)
	}
	if e.Tuple.Protocol.HasPorts() {
		e.Tuple.SrcPort, e.Tuple.DstPort = hostOrder(k.SrcPort), hostOrder(k.DstPort)
	}
	return e, nil
}

// hostOrder reads a port that lies in memory as in a packet.
func hostOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, port))
}

// Events are the denials that the programs report while somebody listens. They are read once in a while: a program never
// waits for a reader, nor wakes one for each event.
type Events struct {
	node         *Node
	ring         *ringbuf.Reader
	record       ringbuf.Record
	before       uint64 // packets denied before
	read, missed uint64 // events that were read, packets found to be without
}

// Listen makes the programs report what they deny until Close. A node has one listener at a time.
func (n *Node) Listen() (*Events, error) {
	ring, err := ringbuf.NewReader(n.table(kernelMapEvents))
	if err != nil {
		return nil, fmt.Errorf("listen to denials: %w", err)
	}
	ring.SetDeadline(time.Unix(1, 0)) // long ago: reading never waits
	e := &Events{node: n, ring: ring}
	if err := e.each(func([]byte) error { return nil }); err != nil { // what an earlier listener left
		return nil, errors.Join(err, ring.Close())
	}
	if e.before, err = n.denied(); err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	e.read = 0
	atomic.StoreUint32(&n.tables.Control.Events, 1)
	return e, nil
}

// Mute makes the programs report nothing, also where a listener ended without Close.
func (n *Node) Mute() { atomic.StoreUint32(&n.tables.Control.Events, 0) }

// Close ends the reports.
func (e *Events) Close() error {
	e.node.Mute()
	return e.ring.Close()
}

// Read hands over the events that are there, and returns how many denied packets more are now known to be in none: those that
// found the ring full, and all but one of those that the kernel kept together.
func (e *Events) Read(take func(Event)) (missed uint64, err error) {
	denied, err := e.node.denied() // before the ring: a program first reports, and then counts
	if err != nil {
		return 0, err
	}
	boot, err := bootTime()
	if err != nil {
		return 0, err
	}
	err = e.each(func(raw []byte) error {
		event, err := parseEvent(raw, boot)
		if err == nil {
			take(event)
		}
		return err
	})
	if all := denied - e.before; all > e.read+e.missed {
		missed = all - e.read - e.missed
		e.missed += missed
	}
	return missed, err
}

// each reads at most as many records as the ring has room for: more may come all the time. One that is not understood does
// not hold up the others.
func (e *Events) each(take func([]byte) error) error {
	var errs error
	for range e.ring.BufferSize() / eventSize {
		err := e.ring.ReadInto(&e.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return errors.Join(errs, fmt.Errorf("read denials: %w", err))
		}
		e.read++
		if err := take(e.record.RawSample); err != nil {
			errs = err // the last one says enough
		}
	}
	return errs
}

// denied counts the packets that were denied since the tables were made.
func (n *Node) denied() (sum uint64, err error) {
	list, err := n.Counters()
	for _, c := range list {
		if c.Reason.Verdict() == flow.Deny {
			sum += c.Packets
		}
	}
	return sum, err
}

// bootTime is when CLOCK_MONOTONIC was zero, by today's clock.
func bootTime() (time.Time, error) {
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return time.Time{}, fmt.Errorf("read the clock: %w", err)
	}
	return time.Now().Add(-time.Duration(mono.Nano())), nil
}
