package bpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
)

var boot = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// raw is an event as layout.h lays it out; ports and addresses are as in a packet.
func raw(direction, reason, protocol, family byte, src, dst netip.Addr) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(3*time.Second))
	for _, n := range []uint32{7, 5, 9, 4} { // ifindex, set, class, epoch
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	b = append(b, direction, reason, protocol, family, 0x9c, 0x40, 0, 80) // ports 40000 and 80
	for _, a := range []netip.Addr{src, dst} {
		bytes := a.As16()
		b = append(b, bytes[:]...)
	}
	return b
}

func TestEventsAreRead(t *testing.T) {
	v4, w4 := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	v6, w6 := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	event := func(dir flow.Direction, r Reason, tuple flow.Tuple) Event {
		return Event{Time: boot.Add(3 * time.Second), Ifindex: 7, Set: 5, Class: 9, Epoch: 4, Direction: dir, Reason: r, Tuple: tuple}
	}
	for name, c := range map[string]struct {
		raw  []byte
		want Event
	}{
		"TCP over IPv4": {raw(1, 16, 6, 4, v4, w4), event(flow.Ingress, ReasonNoRule,
			flow.Tuple{Protocol: flow.TCP, Src: v4, Dst: w4, SrcPort: 40000, DstPort: 80})},
		"UDP over IPv6": {raw(0, 17, 17, 6, v6, w6), event(flow.Egress, ReasonClosed,
			flow.Tuple{Protocol: flow.UDP, Src: v6, Dst: w6, SrcPort: 40000, DstPort: 80})},
		"ICMP has no ports": {raw(1, 16, 1, 4, v4, w4), event(flow.Ingress, ReasonNoRule,
			flow.Tuple{Protocol: flow.ICMP, Src: v4, Dst: w4})},
		"no IP has no addresses": {raw(0, 21, 0, 0, v4, w4), event(flow.Egress, ReasonUnsupported, flow.Tuple{})},
		"longer than known":      {append(raw(1, 23, 0, 0, v4, w4), 1, 2, 3), event(flow.Ingress, ReasonTable, flow.Tuple{})},
	} {
		if got, err := parseEvent(c.raw, boot); err != nil || got != c.want {
			t.Errorf("%s: %+v (%v), want %+v", name, got, err, c.want)
		}
	}
	for name, raw := range map[string][]byte{
		"cut short":       raw(1, 16, 6, 4, v4, w4)[:eventSize-1],
		"empty":           nil,
		"no direction":    raw(2, 16, 6, 4, v4, w4),
		"no denial":       raw(1, 1, 6, 4, v4, w4),
		"no known reason": raw(1, byte(ReasonCount), 6, 4, v4, w4),
	} {
		if got, err := parseEvent(raw, boot); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// FuzzParseEvent: whatever is in the ring, what is read is a denial, and says what the bytes say.
func FuzzParseEvent(f *testing.F) {
	f.Add(raw(1, 16, 6, 4, netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")))
	f.Add(raw(0, 21, 58, 6, netip.MustParseAddr("fd00::1"), netip.MustParseAddr("::")))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEvent(bytes.Clone(b), boot)
		if err != nil {
			return
		}
		if e.Reason.Verdict() != flow.Deny || e.Direction > flow.Ingress {
			t.Errorf("%+v is no denial", e)
		}
		if e.Tuple.Protocol.HasPorts() && e.Tuple.DstPort != uint16(b[30])<<8|uint16(b[31]) {
			t.Errorf("port %d, want that of % x", e.Tuple.DstPort, b[30:32])
		}
		if e.Tuple.Src.IsValid() != (b[27] == 4 || b[27] == 6) {
			t.Errorf("source %s of family %d", e.Tuple.Src, b[27])
		}
	})
}
