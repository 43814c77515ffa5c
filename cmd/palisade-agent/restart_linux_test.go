package main

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// blaster sends numbered UDP datagrams from one pod to a port of another, as fast as every 100 µs, and counts those
// that arrive.
type blaster struct {
	sent, arrived atomic.Uint64
	highest       atomic.Uint64 // number of those that arrived
	first, last   atomic.Int64  // when packets arrived, in nanoseconds since 1970
	stop          atomic.Bool
	ended         chan error
}

// blast starts a blaster from the client to a port of the server.
func (b *testbed) blast(port uint16) *blaster {
	b.Helper()
	return b.blastFrom("client", clientIP, "server", netip.AddrPortFrom(serverIP, port))
}

// blastFrom starts a blaster from a pod at an address to another pod.
func (b *testbed) blastFrom(from string, at netip.Addr, name string, to netip.AddrPort) *blaster {
	b.Helper()
	bl := &blaster{ended: make(chan error, 1)}
	server := b.listenUDP(name, to)
	client := b.listenUDP(from, netip.AddrPortFrom(at, 0))
	go func() {
		buf := make([]byte, 64)
		for {
			n, _, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			bl.arrived.Add(1)
			if number, _ := binary.Uvarint(buf[:n]); number > bl.highest.Load() {
				bl.highest.Store(number)
			}
			bl.last.Store(time.Now().UnixNano())
			bl.first.CompareAndSwap(0, bl.last.Load())
		}
	}()
	go func() {
		pace := time.NewTicker(100 * time.Microsecond)
		defer pace.Stop()
		for !bl.stop.Load() {
			if _, err := client.WriteToUDPAddrPort(binary.AppendUvarint(nil, bl.sent.Load()+1), to); err != nil {
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
	return bl.sent.Load(), b.settled(bl)
}

// settled waits until no more packets have arrived for some time, and returns how many did.
func (b *testbed) settled(bl *blaster) (arrived uint64) {
	b.Helper()
	same := 0
	b.await("the last packets arrive", func() bool {
		before := arrived
		arrived = bl.arrived.Load()
		if same++; arrived != before {
			same = 0
		}
		return same == 10
	})
	return arrived
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

// TestPeersGrow: a table that gets too small grows under the packets that it judges, and stays as large.
func TestPeersGrow(t *testing.T) {
	for _, hook := range []string{"auto", "clsact"} {
		t.Run(hook, func(t *testing.T) {
			b := newTestbed(t)
			b.enforceOnePort("-hook", hook, "-peer-entries", "32")
			allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
			few := b.spillPeers(0)
			small, large := roomFor(few), roomFor(few+1000)
			if small >= large {
				t.Fatalf("%d peers are in the table: so many that it would not grow", few)
			}
			b.awaitPeers(few, small)
			for i, more := range []int{1000, 0, 1001} {
				b.put(marked(t, sparsePeers(more)))
				b.awaitPeers(few+more, large)
				if b.connects("client", serverIP, 80) {
					t.Errorf("change %d opened what no policy allows", i)
				}
			}
			pins := b.pinNames()
			for _, restart := range []struct {
				args []string
				room int
			}{{[]string{"-peer-entries", "32"}, large}, {nil, bpf.DefaultCapacity().Hosts / 2}} {
				b.agent.stop()
				b.start(append([]string{"-hook", hook}, restart.args...)...)
				b.awaitReady()
				b.awaitPeers(few+1001, restart.room)
			}
			b.endAllowed(allowed)
			b.endDenied(denied)
			if now := b.pinNames(); len(now) != len(pins) {
				t.Errorf("pins %q, before restarts %q", now, pins)
			}
		})
	}
}

// TestPeersBeyondTheLimitCloseTheirPod until there is room.
func TestPeersBeyondTheLimitCloseTheirPod(t *testing.T) {
	b := newTestbed(t)
	b.enforceOnePort("-peer-entries", "32", "-max-peer-entries", "1024")
	fromClient := func(o *v1alpha1.PolicyEndpoint) *v1alpha1.PolicyEndpoint {
		o.Spec.Ingress = append(o.Spec.Ingress, v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(clientIP.String())})
		return marked(t, o)
	}
	closed := func(pods string) {
		t.Helper()
		const name = "palisade_agent_overflow_pods "
		b.await(name+pods, func() bool { return b.metric(name) == name+pods && b.connects("client", serverIP, 80) == (pods == "0") })
	}
	few := b.spillPeers(0)
	b.put(fromClient(sparsePeers(512 - few)))
	b.awaitPeers(512, 512)
	closed("0")
	b.put(fromClient(sparsePeers(512 - few + 1)))
	closed("1")
	b.agent.stop()
	b.start()
	b.awaitReady()
	closed("0")
	b.awaitPeers(513, bpf.DefaultCapacity().Hosts/2)
}

// sparsePeers may send to the server: about as many as there are pages for networks of their own, and some more.
func sparsePeers(more int) *v1alpha1.PolicyEndpoint {
	var peers []string
	for i := range bpf.DefaultCapacity().Peers4 + more {
		peers = append(peers, fmt.Sprintf("fd00:%x:%x::1", i+1, i+1))
	}
	return ingressTo("sparse", peers...)
}

// spillPeers puts sparsePeers into force, and returns how many of them are in the table of single addresses.
func (b *testbed) spillPeers(more int) (entries int) {
	b.Helper()
	b.put(marked(b.T, sparsePeers(more)))
	b.await("peers without a page", func() bool { entries = b.peers("entries"); return entries > 0 })
	return entries
}

// roomFor is the room, per bank, of a table that grew for so many entries.
func roomFor(entries int) int { return 1 << bits.Len(uint(entries-1)) }

// awaitPeers waits until the table of single addresses has so many entries and so much room, per bank.
func (b *testbed) awaitPeers(entries, room int) {
	b.Helper()
	b.await(fmt.Sprintf("%d of %d single addresses", entries, room), func() bool {
		return b.peers("entries") == entries && b.peers("capacity") == room
	})
}

// peers is a metric of the table of single addresses, -1 where there is none.
func (b *testbed) peers(metric string) int {
	b.Helper()
	name := fmt.Sprintf("palisade_agent_map_%s{table=\"peer_hosts\"} ", metric)
	var got float64
	if _, err := fmt.Sscanf(b.metric(name), name+"%g", &got); err != nil {
		return -1
	}
	return int(got)
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

// TestAnAgentWaitsForTheOneBefore, and goes on as soon as that one has died.
func TestAnAgentWaitsForTheOneBefore(t *testing.T) {
	b := newNode(t)
	b.start()
	b.awaitReady()
	before := b.agent
	b.start()
	b.await("waits", func() bool { return strings.Contains(b.agent.log.String(), "another agent") })
	if !strings.Contains(before.log.String(), `"starting"`) || strings.Contains(b.agent.log.String(), `"starting"`) {
		t.Error("the second agent starts beside the first one")
	}
	before.stop()
	b.awaitReady()
	b.agent.stop()
	b.start()
	b.await("starts", func() bool { return strings.Contains(b.agent.log.String(), `"starting"`) })
	if strings.Contains(b.agent.log.String(), "another agent") {
		t.Error("an agent that is alone waits")
	}
}
