package main

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// blaster sends numbered UDP datagrams from the client to a port of the server, as fast as every 100 µs, and counts those
// that arrive.
type blaster struct {
	sent, arrived atomic.Uint64
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
	b.Cleanup(func() { conn.Close() })
	return conn
}

func TestRestartLetsNothingThroughAndWritesNothing(t *testing.T) {
	b := newTestbed(t)
	o := ingressTo("web", clientIP.String())
	o.Spec.Ingress[0].Ports = udpPort(5000)
	b.put(marked(t, o))
	b.start()
	b.awaitReady()
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
	allowed, denied := b.blast(5000), b.blast(5001)
	for i := range 5 {
		b.agent.stop()
		b.start()
		b.awaitReady()
		for _, kind := range []string{"table", "pod"} {
			name := fmt.Sprintf("palisade_agent_writes_total{kind=%q}", kind)
			if m := b.metric(name); m != name+" 0" {
				t.Errorf("restart %d wrote to the kernel: %s", i, m)
			}
		}
	}
	if sent, arrived := b.end(denied); arrived != 0 || sent == 0 {
		t.Errorf("%d of %d packets passed that the policy denies", arrived, sent)
	}
	if sent, arrived := b.end(allowed); arrived != sent || sent == 0 {
		t.Errorf("%d of %d packets arrived that the policy allows", arrived, sent)
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
