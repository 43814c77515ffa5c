package bpf

import (
	"net/netip"
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/bpf/onecpu"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

func TestEveryCPUHasAnEntry(t *testing.T) {
	for cpus, want := range map[int]int{1: 1, 2: 2, 3: 4, 96: 128, 1024: 1024} {
		if got, err := (machine{cpus: cpus}).entries(); got != want || err != nil {
			t.Errorf("%d CPUs: %d entries, %v; want %d", cpus, got, err, want)
		}
	}
	if got, err := (machine{cpus: 1025}).entries(); err == nil {
		t.Errorf("1025 CPUs: %d entries; want an error", got)
	}
}

func TestCPUsAreCounted(t *testing.T) {
	for ranges, want := range map[string]int{"0\n": 1, "0-1\n": 2, "0-3,8-11\n": 12, "0,2,4\n": 5} {
		if got, err := countCPUs(ranges); got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", ranges, got, err, want)
		}
	}
	if got, err := countCPUs("\n"); err == nil {
		t.Errorf("no CPU: %d; want an error", got)
	}
}

// TestLoadsOnOtherMachines: with one CPU, the number of a CPU is a constant for the verifier; with many, their entries fill the map.
func TestLoadsOnOtherMachines(t *testing.T) {
	for _, cpus := range []int{1, maxCPUs} {
		openOn(t, func(m *machine) { m.cpus = cpus })
	}
}

// TestLastPacketsAreRemembered, but not where PREEMPT_RT lets a program be interrupted by others on its CPU. What is remembered decides:
// here a reason that no table says.
func TestLastPacketsAreRemembered(t *testing.T) {
	onecpu.ForTest(t) // each CPU has its own entries
	for _, realtime := range []bool{false, true} {
		h := openOn(t, func(m *machine) { m.realtime = realtime })
		pod := Pod{Ifindex: 9, Instance: 1, IP4: netip.MustParseAddr("10.1.0.1"), Sets: [2]uint32{SetOpen, SetOpen}}
		if _, err := h.Sync(&Image{Pods: []Pod{pod}}); err != nil {
			t.Fatal(err)
		}
		tuple := flow.Tuple{Src: netip.MustParseAddr("10.1.0.2"), Dst: pod.IP4, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}
		again := ReasonReply
		if realtime {
			again = ReasonNotIsolated
		}
		for _, want := range []Reason{ReasonNotIsolated, again} {
			got, err := h.Run(flow.Ingress, pod.Ifindex, false, frame.New(tuple, frame.Later))
			if err != nil || got.Reason != want {
				t.Errorf("PREEMPT_RT %t: got %s (%v), want %s", realtime, got.Reason, err, want)
			}
			for cpu := range h.tables.cpus {
				for i := range h.tables.cpus[cpu].Last[flow.Ingress] {
					h.tables.cpus[cpu].Last[flow.Ingress][i].Reason = uint16(ReasonReply)
				}
			}
		}
	}
}

// TestSparsePeersAreRemembered: what passes between a pod and a peer that has no page is compared with the last packets, too.
func TestSparsePeersAreRemembered(t *testing.T) {
	h := openOn(t, func(*machine) {})
	host4, net4 := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.8.9")
	host6, net6 := netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00:8::9")
	img := &Image{
		Peers4: make([]AddrPage, Fanout), Sets: make([]SetRows, SetFirst+1), Rows: make([]Row, 2),
		Hosts: []Host{{Addr: Mapped(host4), Class: 1}, {Addr: Mapped(host6), Class: 1}},
		Nets: []Net{
			{Addr: Mapped(netip.MustParseAddr("10.1.8.0")), Bits: 96 + 24, Class: 1},
			{Addr: Mapped(netip.MustParseAddr("fd00:8::")), Bits: 64, Class: 1},
		},
		Pods: []Pod{{Ifindex: 9, Instance: 1, IP4: netip.MustParseAddr("10.2.0.1"), IP6: netip.MustParseAddr("fd00:1::1"),
			Sets: [2]uint32{SetFirst, SetFirst}}},
	}
	img.Peers4[10].Slot[1] = uint16(PeerSparse)
	img.Sets[SetFirst].Row[0], img.Rows[1].Ports[1] = 1, PortsAll
	img.PortPages, img.PortLeaves = PortTables()
	if _, err := h.Sync(img); err != nil {
		t.Fatal(err)
	}
	for _, peer := range []netip.Addr{host4, net4, host6, net6} {
		tuple := flow.Tuple{Src: peer, Dst: img.Pods[0].IP4, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}
		if peer.Is6() {
			tuple.Dst = img.Pods[0].IP6
		}
		for _, want := range []Reason{ReasonPolicy, ReasonReply} {
			got, err := h.Run(flow.Ingress, img.Pods[0].Ifindex, false, frame.New(tuple, frame.Later))
			if err != nil || got.Reason != want {
				t.Errorf("%s: got %s (%v), want %s", peer, got.Reason, err, want)
			}
			for cpu := range h.tables.cpus {
				for i := range h.tables.cpus[cpu].Last[flow.Ingress] {
					h.tables.cpus[cpu].Last[flow.Ingress][i].Reason = uint16(ReasonReply)
				}
			}
		}
	}
}

// openOn opens a node as on a machine that differs from this one.
func openOn(t *testing.T, differ func(*machine)) *Harness {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the tables are the kernel's")
	}
	m, err := thisMachine()
	if err != nil {
		t.Fatal(err)
	}
	differ(&m)
	return openHarness(t, Options{Capacity: Capacity{Peers4: 512, Hosts: 16, Nets: 16, Flows: 1024}, machine: &m})
}
