package veth

import (
	"encoding/binary"
	"testing"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

func syn() []byte {
	return segment(flow.Tuple{
		Src: podAddrs[sender], Dst: podAddrs[receiver], Protocol: flow.TCP, SrcPort: 40000, DstPort: firstPort,
	}, frame.First)
}

// valid is RFC 1071: the ones' complement sum of everything, the checksum included, is all ones.
func valid(packet []byte) bool {
	pseudo := append([]byte{}, packet[ipAddrs:ipEnd]...)
	pseudo = append(pseudo, 0, 6, 0, byte(len(packet)-ipEnd))
	sum := 0
	for data := append(pseudo, packet[ipEnd:]...); len(data) > 0; data = data[2:] {
		sum += int(data[0])<<8 | int(data[1])
	}
	return sum%0xffff == 0
}

func TestAChecksumIsRightUntilItIsSpoiled(t *testing.T) {
	p := syn()
	for n := uint32(0); n < 1<<17; n += 13 {
		address(p, n)
		if valid(p) {
			t.Fatalf("the checksum of flow %d is right: the receiver would answer", n)
		}
		binary.BigEndian.PutUint16(p[tcpChecksum:], binary.BigEndian.Uint16(p[tcpChecksum:])^spoiled)
		if !valid(p) {
			t.Fatalf("the checksum of flow %d is wrong before it is spoiled", n)
		}
	}
}

func TestEveryFlowIsANewOne(t *testing.T) {
	const flows = 1 << 16 * portCount
	p, seen := syn(), make([]bool, flows)
	for n := range uint32(flows) {
		address(p, n)
		src, dst := binary.BigEndian.Uint16(p[tcpSrcPort:]), binary.BigEndian.Uint16(p[tcpDstPort:])
		if dst < firstPort || dst >= firstPort+portCount {
			t.Fatalf("flow %d goes to port %d, which is not allowed", n, dst)
		}
		at := int(dst-firstPort)<<16 | int(src)
		if seen[at] {
			t.Fatalf("flow %d was there before", n)
		}
		seen[at] = true
	}
}
