package veth

import (
	"encoding/binary"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// Offsets within an IPv4 packet without options, in bytes.
const (
	ipAddrs     = 12
	ipEnd       = 20
	tcpSrcPort  = ipEnd
	tcpDstPort  = ipEnd + 2
	tcpChecksum = ipEnd + 16
)

// spoiled is what the checksum of a segment differs by from the right one. In ones' complement that is never no
// difference.
const spoiled = 0x0100

// segment returns the IPv4 packet of a TCP segment that goes the whole way and is then thrown away without an answer,
// since its checksum is wrong: what it costs is the way alone.
func segment(t flow.Tuple, k frame.Kind) []byte {
	const ethernet = 14
	p := frame.New(t, k)[ethernet:]
	spoil(p)
	return p
}

// spoil makes the checksum wrong, whatever else was changed.
func spoil(packet []byte) {
	binary.BigEndian.PutUint16(packet[tcpChecksum:], 0)
	binary.BigEndian.PutUint16(packet[tcpChecksum:], rightChecksum(packet)^spoiled)
}

// rightChecksum is that of the segment of a packet whose checksum is zero (RFC 9293 §3.1).
func rightChecksum(packet []byte) uint16 {
	sum := uint32(flow.TCP) + uint32(len(packet)-ipEnd)
	for i := ipAddrs; i < len(packet); i += 2 { // the addresses lie right before the segment
		sum += uint32(binary.BigEndian.Uint16(packet[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// address gives a segment the n-th of the flows that differ in their ports; it repeats after 2^16 × portCount.
func address(packet []byte, n uint32) {
	addressTo(packet, uint16(n), firstPort+uint16(n>>16)%portCount)
}

func addressTo(packet []byte, srcPort, dstPort uint16) {
	binary.BigEndian.PutUint16(packet[tcpSrcPort:], srcPort)
	binary.BigEndian.PutUint16(packet[tcpDstPort:], dstPort)
	spoil(packet)
}
