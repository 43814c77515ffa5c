package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/palisade-netpol/palisade/agent/flowlog"
)

// denials are the lines of the agent's flow log.
func (b *testbed) denials() (lines []flowlog.Line) {
	b.Helper()
	for text := range strings.Lines(b.agent.out.String()) {
		var l flowlog.Line
		if !strings.HasSuffix(text, "\n") {
			break // being written
		}
		b.must(json.Unmarshal([]byte(text), &l))
		lines = append(lines, l)
	}
	return lines
}

// denied is how many packets the kernel counts as denied.
func (b *testbed) denied() (sum uint64) {
	b.Helper()
	for line := range strings.Lines(b.get("/metrics")) {
		if name, value, ok := strings.Cut(line, "} "); ok && strings.HasPrefix(name, "palisade_agent_packets_total") &&
			strings.Contains(name, `verdict="deny"`) {
			var n float64
			_, err := fmt.Sscan(value, &n)
			b.must(err)
			sum += uint64(n)
		}
	}
	return sum
}

func TestFlowLogNamesWhatWasDenied(t *testing.T) {
	b := newNode(t)
	b.put(marked(t, ingressTo("web", "192.0.2.1")))
	b.put(marked(t, selectClient()))
	b.start("-flow-log", "denied", "-node-name", "one")
	b.awaitReady()
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
	var line flowlog.Line
	b.await("the denial is in the log", func() bool {
		lines := b.denials()
		at := slices.IndexFunc(lines, func(l flowlog.Line) bool { return l.DestinationPort == 80 })
		if at >= 0 {
			line = lines[at]
		}
		return at >= 0
	})
	if line.Pod == nil || line.Pod.Namespace != namespace || line.Pod.Name != "server" || int(line.Pod.Interface) != b.pods["server"].Ifindex() {
		t.Errorf("pod %+v, want the server", line.Pod)
	}
	if line.Peer == nil || *line.Peer != (flowlog.Peer{Address: clientIP, Namespace: namespace, Name: "client"}) {
		t.Errorf("peer %+v, want the client", line.Peer)
	}
	if line.Node != "one" || line.Verdict != "deny" || line.Direction != "ingress" || line.Protocol != "TCP" ||
		line.SourcePort == 0 || line.Reason != "no-rule" || !slices.Equal(line.Policies, []string{"shop/web"}) {
		t.Errorf("line %+v, want a denial of TCP for want of a rule in shop/web", line)
	}
	if age := time.Since(line.Time); age < 0 || age > patience {
		t.Errorf("time %s, which is %s ago", line.Time, age)
	}
}

// TestFlowLogOfAFloodIsBoundedAndComplete: every denied packet is in some line, if only as a number.
func TestFlowLogOfAFloodIsBoundedAndComplete(t *testing.T) {
	b := newNode(t)
	b.put(marked(t, ingressTo("web", "192.0.2.1")))
	b.start("-flow-log", "denied")
	b.awaitReady()
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
	client := b.listenUDP("client", netip.AddrPortFrom(clientIP, 0))
	begin, before := time.Now(), len(b.denials())
	const flood = 30_000
	for i := range flood {
		_, err := client.WriteToUDPAddrPort([]byte("packet"), netip.AddrPortFrom(serverIP, uint16(1024+i)))
		b.must(err)
	}
	var logged, leftOut, unread uint64
	b.await("every denied packet is accounted for", func() bool {
		logged, leftOut, unread = 0, 0, 0
		for _, l := range b.denials() {
			logged, leftOut, unread = logged+l.Count, leftOut+l.LeftOut, unread+l.Unread
		}
		return logged+leftOut+unread >= flood
	})
	b.await("the kernel counts as many", func() bool { return b.denied() == logged+leftOut+unread })
	lines, seconds := len(b.denials())-before, int(time.Since(begin)/time.Second)+2
	t.Logf("%d packets in %s: %d lines with %d of them, %d left out, %d unread", flood, time.Since(begin), lines, logged, leftOut, unread)
	if most := seconds * (flowlog.DefaultLines + 2); lines > most {
		t.Errorf("%d lines in %d seconds, want at most %d", lines, seconds, most)
	}
	if leftOut == 0 || logged == 0 {
		t.Errorf("%d denials in lines and %d left out of a flood", logged, leftOut)
	}
}

// TestNothingIsReportedWhenNobodyListens: an agent that ends, and one that follows an agent that was killed, end the reports.
func TestNothingIsReportedWhenNobodyListens(t *testing.T) {
	b := newNode(t)
	b.put(marked(t, ingressTo("web")))
	silent := func(when string) {
		t.Helper()
		pins, err := filepath.Glob(fmt.Sprintf("/proc/self/fd/%d/node/events-*", b.pins.Fd()))
		b.must(err)
		if len(pins) != 1 {
			t.Fatalf("rings %q, want one", pins)
		}
		m, err := ebpf.LoadPinnedMap(pins[0], nil)
		b.must(err)
		defer func() { b.must(m.Close()) }()
		ring, err := ringbuf.NewReader(m)
		b.must(err)
		defer func() { b.must(ring.Close()) }()
		left := ring.AvailableBytes()
		if b.connects("client", serverIP, 80) {
			t.Error("the policy is not in force")
		}
		if got := ring.AvailableBytes(); got != left {
			t.Errorf("%d bytes of events %s", got-left, when)
		}
	}
	b.start("-flow-log", "denied")
	b.awaitReady()
	b.await("a denial is in the log", func() bool { b.connects("client", serverIP, 80); return len(b.denials()) > 0 })
	b.must(b.agent.cmd.Process.Signal(syscall.SIGTERM))
	<-b.agent.done
	silent("after the agent has ended")
	b.start("-flow-log", "denied")
	b.awaitReady()
	b.agent.stop()
	b.start()
	b.awaitReady()
	silent("with an agent that has no flow log")
	if out := b.agent.out.String(); out != "" {
		t.Errorf("standard output without a flow log: %q", out)
	}
}
