package bpf_test

import (
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// read returns the events that are there, and how many packets are said to be in none.
func read(t *testing.T, e *bpf.Events) (list []bpf.Event, missed uint64) {
	t.Helper()
	missed, err := e.Read(func(e bpf.Event) { list = append(list, e) })
	if err != nil {
		t.Fatal(err)
	}
	return list, missed
}

func TestDenialsAreReportedWhileSomebodyListens(t *testing.T) {
	h := harness(t, bpf.Standard)
	if _, err := h.Sync(image(0, 0)); err != nil {
		t.Fatal(err)
	}
	deny := func(times int) {
		t.Helper()
		for range times { // not in one call, which begins again after a signal
			o, err := h.Run(flow.Ingress, iface, false, syn)
			if err != nil || o.Reason != bpf.ReasonNoRule {
				t.Fatalf("reason %s (%v), want %s", o.Reason, err, bpf.ReasonNoRule)
			}
		}
	}
	deny(3)
	begin := time.Now()
	e, err := h.Listen()
	if err != nil {
		t.Fatal(err)
	}
	if list, missed := read(t, e); len(list) != 0 || missed != 0 {
		t.Errorf("%d events and %d missed from before somebody listened", len(list), missed)
	}
	deny(1)
	list, missed := read(t, e)
	if len(list) != 1 || missed != 0 {
		t.Fatalf("%d events and %d missed for one denial", len(list), missed)
	}
	got := list[0]
	if early, late := begin.Add(-time.Second), time.Now().Add(time.Second); got.Time.Before(early) || got.Time.After(late) {
		t.Errorf("time %s, want between %s and %s", got.Time, early, late)
	}
	want := bpf.Event{
		Time: got.Time, Ifindex: iface, Set: bpf.SetFirst, Class: 1, Epoch: h.Epoch(), Direction: flow.Ingress,
		Reason: bpf.ReasonNoRule, Tuple: flow.Tuple{Src: peer, Dst: pod, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80},
	}
	if got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}

	// More than the ring holds: nothing is lost silently.
	const flood = 100_000
	deny(flood)
	sum, left := 0, uint64(0)
	for range 3 {
		list, missed := read(t, e)
		sum, left = sum+len(list), left+missed
	}
	if room := int(h.Maps()["events"].MaxEntries()) / 72; sum > room || sum < room/2 || uint64(sum)+left != flood {
		t.Errorf("%d events and %d missed of %d denials, with room for %d", sum, left, flood, room)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ring, err := ringbuf.NewReader(h.Maps()["events"])
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, ring)
	before := ring.AvailableBytes()
	deny(1)
	if after := ring.AvailableBytes(); after != before {
		t.Errorf("%d bytes of events while nobody listens", after-before)
	}
}

// TestMuteEndsReports: an agent that was killed leaves the programs reporting.
func TestMuteEndsReports(t *testing.T) {
	h := harness(t, bpf.Standard)
	if _, err := h.Sync(image(0, 0)); err != nil {
		t.Fatal(err)
	}
	e, err := h.Listen()
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, e)
	h.Mute()
	if _, err := h.Run(flow.Ingress, iface, false, syn); err != nil {
		t.Fatal(err)
	}
	if list, missed := read(t, e); len(list) != 0 || missed != 1 {
		t.Errorf("%d events and %d missed, want no event", len(list), missed)
	}
}
