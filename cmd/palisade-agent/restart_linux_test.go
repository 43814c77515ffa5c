package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// blaster sends numbered UDP datagrams from the client to a port of the server, as fast as every 100 µs, and counts
// those that arrive.
type blaster struct {
	sent, arrived atomic.Uint64
	first, last   atomic.Int64 // when packets arrived, in nanoseconds since 1970
	stop          atomic.Bool
	ended         chan error
}

// blast starts a blaster.
func (b *testbed) blast(port uint16) *blaster {
	b.Helper()
	bl := &blaster{ended: make(chan error, 1)}
	server := b.listenUDP("server", netip.AddrPortFrom(serverIP, port))
	client := b.listenUDP("client", netip.AddrPortFrom(clientIP, 0))
	go func() {
		buf := make([]byte, 64)
		for {
			if _, _, err := server.ReadFromUDPAddrPort(buf); err != nil {
				return
			}
			bl.arrived.Add(1)
			bl.last.Store(time.Now().UnixNano())
			bl.first.CompareAndSwap(0, bl.last.Load())
		}
	}()
	go func() {
		to := netip.AddrPortFrom(serverIP, port)
		pace := time.NewTicker(100 * time.Microsecond)
		defer pace.Stop()
		for !bl.stop.Load() {
			if _, err := client.WriteToUDPAddrPort([]byte("packet"), to); err != nil {
				bl.ended <- err
				return
			}
			bl.sent.Add(1)
			<-pace.C
		}
		bl.ended <- nil
	}()
	return bl
}

// passed is how long it was between the first and the last packet that arrived.
func (bl *blaster) passed() time.Duration { return time.Duration(bl.last.Load() - bl.first.Load()) }

// end stops sending and returns how much was sent and arrived.
func (b *testbed) end(bl *blaster) (sent, arrived uint64) {
	b.Helper()
	bl.stop.Store(true)
	b.must(<-bl.ended)
	last := uint64(0)
	b.await("the last packets arrive", func() bool {
		before := last
		last = bl.arrived.Load()
		return last == bl.sent.Load() || last == before
	})
	return bl.sent.Load(), bl.arrived.Load()
}

func (b *testbed) listenUDP(pod string, at netip.AddrPort) *net.UDPConn {
	b.Helper()
	var conn *net.UDPConn
	b.must(b.pods[pod].NS().Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}))
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestRestartLetsNothingThroughAndWritesNothing(t *testing.T) {
	for _, hook := range []string{"auto", "clsact"} {
		t.Run(hook, func(t *testing.T) {
			b := newTestbed(t)
			b.enforceOnePort("-hook", hook)
			allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
			for i := range 5 {
				b.agent.stop()
				b.start("-hook", hook)
				b.awaitReady()
				for _, kind := range []string{"table", "pod"} {
					name := fmt.Sprintf("palisade_agent_writes_total{kind=%q}", kind)
					if m := b.metric(name); m != name+" 0" {
						t.Errorf("restart %d wrote to the kernel: %s", i, m)
					}
				}
			}
			b.endAllowed(allowed)
			b.endDenied(denied)
		})
	}
}

// TestUpgradeReplacesProgramsInPlace: another size of a table makes other programs, as a new version does, and flows are moved.
func TestUpgradeReplacesProgramsInPlace(t *testing.T) {
	b := newTestbed(t)
	b.enforceOnePort()
	allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
	pins, size := len(b.pinNames()), b.flowBytes()
	for _, entries := range []string{"1024", "8192", "1024"} {
		before := b.pinNames()
		b.agent.stop()
		b.start("-flow-entries", entries)
		b.awaitReady()
		b.await("what the version before left is removed", func() bool {
			now := b.pinNames()
			return len(now) == pins && !slices.Equal(now, before)
		})
		now := b.flowBytes()
		if grown := now > size; now == size || grown != (entries == "8192") {
			t.Errorf("with %s flows the table takes %d bytes, after %d", entries, now, size)
		}
		size = now
	}
	b.endAllowed(allowed)
	b.endDenied(denied)
	if b.connects("client", serverIP, 80) {
		t.Error("the policy is not in force after the upgrades")
	}
}

// TestOutageOfTheAPIServerChangesNothing: policies stay in force, and changes after it take effect.
func TestOutageOfTheAPIServerChangesNothing(t *testing.T) {
	b := newTestbed(t)
	b.enforceOnePort()
	allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
	b.must(b.cluster.RestartAPIServer(t.Context()))
	b.put(marked(t, ingressTo("web", "192.0.2.1")))
	b.put(marked(t, ingressTo("other", "192.0.2.2")))
	b.await("policies from after the outage are in force", func() bool {
		before := allowed.arrived.Load()
		return !b.connects("client", serverIP, 80) && allowed.arrived.Load() == before
	})
	allowed.stop.Store(true)
	b.endDenied(denied)
}

// flowBytes is how large the table of IPv4 flows is.
func (b *testbed) flowBytes() (n int) {
	b.Helper()
	const name = `palisade_agent_kernel_memory_bytes{table="flows4"}`
	var bytes float64
	if _, err := fmt.Sscanf(b.metric(name), name+" %g", &bytes); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return int(bytes)
}

const allowedPort = 5000

// enforceOnePort starts an agent that enforces a policy by which the client may send to one port of the server.
func (b *testbed) enforceOnePort(args ...string) {
	b.Helper()
	o := ingressTo("web", clientIP.String())
	o.Spec.Ingress[0].Ports = udpPort(allowedPort)
	b.put(marked(b.T, o))
	b.start(args...)
	b.awaitReady()
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
}

func (b *testbed) endAllowed(bl *blaster) {
	b.Helper()
	if sent, arrived := b.end(bl); arrived != sent || sent == 0 {
		b.Errorf("%d of %d packets arrived that the policy allows", arrived, sent)
	}
}

func (b *testbed) endDenied(bl *blaster) {
	b.Helper()
	if sent, arrived := b.end(bl); arrived != 0 || sent == 0 {
		b.Errorf("%d of %d packets passed that the policy denies", arrived, sent)
	}
}

func TestRestartCatchesUp(t *testing.T) {
	b := newTestbed(t)
	b.put(marked(t, ingressTo("web")))
	b.start()
	b.awaitReady()
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
	b.agent.stop()
	b.put(marked(t, ingressTo("web", clientIP.String())))
	if b.connects("client", serverIP, 80) {
		t.Error("open without an agent")
	}
	b.start()
	b.await("what changed while there was no agent is in force", func() bool { return b.connects("client", serverIP, 80) })
	b.agent.stop()
	b.removePod("server")
	b.start()
	b.awaitReady()
	b.await("what a pod left is gone", func() bool {
		links, pods := b.metric(`palisade_agent_map_entries{table="pods"}`), b.pinnedLinks()
		return links == `palisade_agent_map_entries{table="pods"} 1` && pods == 2
	})
}
