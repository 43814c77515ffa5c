package bpf

import (
	"fmt"
	"structs"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Harness runs packets through the real programs in the kernel, without interfaces: BPF_PROG_TEST_RUN. It is a Node
// whose programs take the interface's index and "sent by the node" from the packet's metadata, because a test run can give
// a packet neither an interface that does not exist nor a process's socket; all else is the code that is attached.
type Harness struct {
	*Node
	// Socketless says that what is sent by the node comes without a socket, as what ends an IPv6 connection may.
	Socketless bool
	// GSOSize is the size of the segments that the frame is to be cut into; 0: it goes as it is.
	GSOSize uint32
	in, out skbContext
	frame   []byte // a copy of the one at hand, on the heap, where the kernel finds it
}

// skbContext is struct __sk_buff of <linux/bpf.h>.
type skbContext struct {
	_                                          structs.HostLayout
	Len, PktType, Mark, QueueMapping, Protocol uint32
	VlanPresent, VlanTCI, VlanProto, Priority  uint32
	IngressIfindex, Ifindex, TCIndex           uint32
	CB                                         [5]uint32
	Hash, TCClassID, Data, DataEnd, NapiID     uint32
	Family, RemoteIP4, LocalIP4                uint32
	RemoteIP6, LocalIP6                        [4]uint32
	RemotePort, LocalPort, DataMeta            uint32
	FlowKeys, Tstamp                           uint64
	WireLen, GSOSegs                           uint32
	Sk                                         uint64
	GSOSize, TstampType                        uint32
	HWTstamp                                   uint64
}

// NewHarness is OpenHarness with the options that most tests need.
func NewHarness(c Capacity, mode Mode) (*Harness, error) {
	return OpenHarness(Options{Capacity: c, Mode: mode})
}

// OpenHarness loads the programs and tables for test runs.
func OpenHarness(o Options) (*Harness, error) {
	o.harness = true
	n, err := Open(o)
	if err != nil {
		return nil, err
	}
	return &Harness{Node: n}, nil
}

// Outcome is what a program decided about one packet, and on what.
type Outcome struct {
	Reason Reason
	Set    uint32
	Class  uint32
}

// Run sends one Ethernet frame through the program of a direction at an interface.
func (h *Harness) Run(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte) (Outcome, error) {
	return h.Repeat(dir, ifindex, fromNode, frame, 1)
}

// Repeat is Run for n times the same frame, one right after the other; the outcome is that of the last one. After a signal it begins
// again: the frame may be sent more often.
func (h *Harness) Repeat(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte, n uint32) (Outcome, error) {
	h.in = skbContext{Mark: ifindex, GSOSize: h.GSOSize}
	switch {
	case fromNode && h.Socketless:
		h.in.CB[0] = 2
	case fromNode:
		h.in.CB[0] = 1
	}
	code, err := h.testRun(h.progs[dir], frame, n)
	if err != nil {
		return Outcome{}, fmt.Errorf("run %s program: %w", dir, err)
	}
	o := Outcome{Reason: Reason(h.out.CB[1]), Set: h.out.CB[2], Class: h.out.CB[3]}
	if (code == h.opts.passed()) != (o.Reason.Verdict() == flow.Allow) {
		return o, fmt.Errorf("%s program returned %d for reason %s", dir, int32(code), o.Reason)
	}
	return o, nil
}
