package bpf

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

var (
	ticking = Pod{Ifindex: 9, Instance: 1, IP4: netip.MustParseAddr("10.1.0.1")}
	gossip  = flow.Tuple{Src: netip.MustParseAddr("10.1.0.2"), Dst: ticking.IP4, Protocol: flow.UDP, SrcPort: 7946, DstPort: 7946}
)

// judged sends a packet of a pod.
func judged(t *testing.T, h *Harness, dir flow.Direction, packet flow.Tuple, kind frame.Kind) Reason {
	t.Helper()
	got, err := h.Run(dir, ticking.Ifindex, false, frame.New(packet, kind))
	if err != nil {
		t.Fatal(err)
	}
	return got.Reason
}

func isolate(t *testing.T, h *Harness, egress, ingress uint32) {
	t.Helper()
	pod := ticking
	pod.Sets = [2]uint32{flow.Egress: egress, flow.Ingress: ingress}
	if _, err := h.Sync(&Image{Pods: []Pod{pod}}); err != nil {
		t.Fatal(err)
	}
}

// TestRevokedQuestionsAreForgotten: who was allowed to ask, and is not any more, keeps nobody from asking it between the same ports, however
// often it tries, or the pod does. A second is a tick here, and three minutes take less than one.
func TestRevokedQuestionsAreForgotten(t *testing.T) {
	for _, who := range []flow.Direction{flow.Ingress, flow.Egress} {
		h := openOn(t, func(m *machine) { m.hz = 1 })
		isolate(t, h, SetOpen, SetOpen)
		judged(t, h, flow.Ingress, gossip, frame.First)
		isolate(t, h, SetOpen, SetClosed)
		for start := time.Now(); time.Since(start) < 2*time.Second; time.Sleep(10 * time.Millisecond) { // at least 200 ticks
			if who == flow.Ingress {
				judged(t, h, flow.Ingress, gossip, frame.First)
			} else if judged(t, h, flow.Egress, gossip.Reply(), frame.First); judged(t, h, flow.Ingress, gossip, frame.First) == ReasonReply {
				break
			}
		}
		judged(t, h, flow.Egress, gossip.Reply(), frame.First)
		if got := judged(t, h, flow.Ingress, gossip, frame.First); got != ReasonReply {
			t.Errorf("while packets went %s, the answer to the pod's question: %s", who, got)
		}
	}
}

// TestHealingEndsForGood: a pod that healed once does not begin again when the kernel's ticks, of which 32 bits are written down, are half a
// round further.
func TestHealingEndsForGood(t *testing.T) {
	h := openOn(t, func(*machine) {})
	isolate(t, h, SetOpen, SetClosed)
	call := flow.Tuple{Src: ticking.IP4, Dst: gossip.Src, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}
	judged(t, h, flow.Ingress, call.Reply(), frame.Later) // an answer to nothing that is known
	entry := h.tables.podAt(ticking.Ifindex)
	if entry.Heals == 0 {
		t.Fatal("the pod does not heal at all")
	}
	until := entry.HealUntil
	for i, gone := range []uint32{0, 1 << 20, 1 << 30, 1<<31 + 1, 3 << 30, 1<<32 - 1<<20} {
		entry.Heals, entry.HealUntil = 1, until-gone
		packet := call
		packet.SrcPort += uint16(i + 1)
		judged(t, h, flow.Egress, packet, frame.Later)
		entry.Heals = 0
		if heals := judged(t, h, flow.Ingress, packet.Reply(), frame.Later) == ReasonReply; heals != (gone == 0) {
			t.Errorf("%d ticks later it heals: %t", gone, heals)
		}
	}
}

// TestDeniedPacketsKeepNothingAlive: what is denied keeps no flow from being forgotten, so that it does not come back with the policy.
func TestDeniedPacketsKeepNothingAlive(t *testing.T) {
	h := openOn(t, func(m *machine) { m.hz = 1 })
	isolate(t, h, SetOpen, SetClosed)
	judged(t, h, flow.Egress, gossip.Reply(), frame.First)
	if got := judged(t, h, flow.Ingress, gossip, frame.First); got != ReasonReply {
		t.Fatalf("the answer: %s", got)
	}
	isolate(t, h, SetClosed, SetClosed)
	for start := time.Now(); time.Since(start) < 2*time.Second; time.Sleep(10 * time.Millisecond) { // at least 200 ticks
		if got := judged(t, h, flow.Ingress, gossip, frame.First); got != ReasonClosed {
			t.Fatalf("while nobody may ask: %s", got)
		}
	}
	isolate(t, h, SetOpen, SetClosed)
	if got := judged(t, h, flow.Ingress, gossip, frame.First); got != ReasonClosed {
		t.Errorf("before the pod asks again: %s", got)
	}
}
