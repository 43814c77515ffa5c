package bpf

import (
	"fmt"
	"net/netip"

	"github.com/palisade-netpol/palisade/model/flow"
)

// The values of the tables, as layout.h declares them.
type (
	// AddrPage is one step of the look-up of an address: Fanout slots, one of which a byte of it selects.
	AddrPage = kernelAddrPage
	// SetRows leads by the upper bits of a class to one of Image.Rows.
	SetRows = kernelSetRows
	// Row says by the lower bits of a class which ports are allowed.
	Row = kernelRow
	// PortPage leads by the upper byte of a port to a leaf: PortsNone, PortsEvery or from PortsFirst on others.
	PortPage = kernelPortPage
	// PortLeaf is a bitmap of 256 consecutive ports.
	PortLeaf = kernelPortLeaf
	// Reason is why the datapath let a packet pass or dropped it.
	Reason kernelReason
)

// Words of the layout: see the enums of the same names in layout.h.
const (
	Fanout     = len(AddrPage{}.Slot)
	RowClasses = len(Row{}.Ports)

	SetUnknown = uint32(kernelSetSET_UNKNOWN)
	SetOpen    = uint32(kernelSetSET_OPEN)
	SetClosed  = uint32(kernelSetSET_CLOSED)
	SetFirst   = uint32(kernelSetSET_FIRST)

	PortsNone      = uint32(kernelPortsPORTS_NONE)
	PortsEvery     = uint32(kernelPortsPORTS_EVERY)
	PortsFirst     = uint32(kernelPortsPORTS_FIRST)
	PortsPageMask  = uint32(kernelPortsPORTS_PAGE_MASK)
	PortsTCPShift  = int(kernelPortsPORTS_TCP_SHIFT)
	PortsUDPShift  = int(kernelPortsPORTS_UDP_SHIFT)
	PortsSCTPShift = int(kernelPortsPORTS_SCTP_SHIFT)
	PortsOther     = uint32(kernelPortsPORTS_OTHER)
	PortsAll       = uint32(kernelPortsPORTS_ALL)
	PortsListed    = uint32(1) << kernelPortsListedPORTS_LISTED_BIT

	PortEdgesProtocolShift = int(kernelPortsListedPORT_EDGES_PROTOCOL_SHIFT)
	PortEdgesEnd           = uint32(kernelPortsListedPORT_EDGES_END)

	PeerClassMask = uint32(kernelPeerSlotPEER_CLASS_MASK)
	PeerPageMask  = uint32(kernelPeerSlotPEER_PAGE_MASK)
	PeerSparse    = uint32(kernelPeerSlotPEER_SPARSE)
	PeerPage      = uint32(kernelPeerSlotPEER_PAGE)

	// PodsSize is how many interfaces there are places for; those whose numbers differ by a multiple of it share one.
	PodsSize = uint32(kernelTableSizePODS_SIZE)

	// MaxClasses is how many classes of addresses a node can tell apart.
	MaxClasses = int(PeerClassMask) + 1
)

// The reasons, in the order of layout.h.
const (
	ReasonNone           = Reason(kernelReasonREASON_NONE)
	ReasonPolicy         = Reason(kernelReasonREASON_POLICY)
	ReasonNotIsolated    = Reason(kernelReasonREASON_NOT_ISOLATED)
	ReasonReply          = Reason(kernelReasonREASON_REPLY)
	ReasonFromNode       = Reason(kernelReasonREASON_FROM_NODE)
	ReasonNeighbour      = Reason(kernelReasonREASON_NEIGHBOUR)
	ReasonLaterFragment  = Reason(kernelReasonREASON_LATER_FRAGMENT)
	ReasonRelated        = Reason(kernelReasonREASON_RELATED)
	ReasonUnknownPodOpen = Reason(kernelReasonREASON_UNKNOWN_POD_OPEN)
	ReasonEstablished    = Reason(kernelReasonREASON_ESTABLISHED)
	ReasonFirstDrop      = Reason(kernelReasonREASON_FIRST_DROP)
	ReasonNoRule         = Reason(kernelReasonREASON_NO_RULE)
	ReasonClosed         = Reason(kernelReasonREASON_CLOSED)
	ReasonUnknownPod     = Reason(kernelReasonREASON_UNKNOWN_POD)
	ReasonSpoofed        = Reason(kernelReasonREASON_SPOOFED)
	ReasonMalformed      = Reason(kernelReasonREASON_MALFORMED)
	ReasonUnsupported    = Reason(kernelReasonREASON_UNSUPPORTED)
	ReasonFragment       = Reason(kernelReasonREASON_FRAGMENT)
	ReasonTable          = Reason(kernelReasonREASON_TABLE)
	ReasonCount          = Reason(kernelReasonREASON_COUNT)
)

// String returns the reason in lower case with hyphens, for metrics and people.
func (r Reason) String() string {
	switch r {
	case ReasonNone:
		return "none"
	case ReasonPolicy:
		return "policy"
	case ReasonNotIsolated:
		return "not-isolated"
	case ReasonReply:
		return "reply"
	case ReasonFromNode:
		return "from-node"
	case ReasonNeighbour:
		return "neighbour"
	case ReasonLaterFragment:
		return "later-fragment"
	case ReasonRelated:
		return "related"
	case ReasonUnknownPodOpen:
		return "unknown-pod-open"
	case ReasonEstablished:
		return "established"
	case ReasonNoRule:
		return "no-rule"
	case ReasonClosed:
		return "closed"
	case ReasonUnknownPod:
		return "unknown-pod"
	case ReasonSpoofed:
		return "spoofed"
	case ReasonMalformed:
		return "malformed"
	case ReasonUnsupported:
		return "unsupported"
	case ReasonFragment:
		return "fragment"
	case ReasonTable:
		return "table"
	}
	return fmt.Sprintf("reason-%d", uint32(r))
}

// Verdict returns what the datapath does for the reason.
func (r Reason) Verdict() flow.Verdict {
	if r < ReasonFirstDrop {
		return flow.Allow
	}
	return flow.Deny
}

// Mode is what happens to a pod of which nothing is known yet.
type Mode uint32

// The modes, as the DaemonSet's flag spells them: "standard" leaves such a pod open, "strict" closes it.
const (
	Standard = Mode(kernelModeMODE_STANDARD)
	Strict   = Mode(kernelModeMODE_STRICT)
)

// Listed returns the word of a row for the ports of a list of 2^bits of Image.PortEdges, which begins at a multiple of that. MostEdges is how
// many a list may have.
func Listed(at, bits int) (word uint32) {
	return PortsListed | uint32(bits)<<kernelPortsListedPORTS_LISTED_SIZE_SHIFT | uint32(at/2)
}

// ListedAt is the inverse of Listed.
func ListedAt(word uint32) (at, bits int) {
	return 2 * int(word&uint32(kernelPortsListedPORTS_LISTED_AT_MASK)),
		int(word >> kernelPortsListedPORTS_LISTED_SIZE_SHIFT & uint32(kernelPortsListedPORTS_LISTED_SIZE_MASK))
}

// MostEdges is how many edges a list of ports may have.
const MostEdges = 1 << kernelPortsListedPORTS_LISTED_SIZE_MASK

// Mapped returns the 16 bytes under which the tables for IPv6 know an address; an IPv4 address is IPv4-mapped
// (RFC 4291 §2.5.5.2).
func Mapped(a netip.Addr) [16]byte { return a.As16() }
