package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/bpf/hook/hooktest"
)

// How long packets may pass an interface whose filter somebody took away. The kernel tells when that happens to a filter of
// clsact, and nobody tells when it happens to a link of tcx, so there the agent looks four times a second. Both are bounds of
// the median, since the machine may be busy with other tests.
const (
	toldBound   = 100 * time.Millisecond
	lookedBound = 500 * time.Millisecond
)

// intruder does to the server's interface what others on a node may do. What is on the hook of the pod's ingress decides.
type intruder struct {
	*testbed
	ifindex int
	ours    uint16 // the priority at which the agent's filter is
	count   *ebpf.Map
	counter *ebpf.Program
}

func (b *testbed) intrude() *intruder {
	b.Helper()
	in := &intruder{testbed: b, ifindex: b.pods["server"].Ifindex()}
	var err error
	in.count, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	b.must(err)
	b.closeLater(in.count.Close)
	in.counter = in.load()
	return in
}

// load loads a program that counts packets and leaves them to others.
func (in *intruder) load() *ebpf.Program {
	in.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, in.count.FD(), 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
		asm.Mov.Imm(asm.R0, -1), // TC_ACT_UNSPEC: let others decide
		asm.Return(),
	}})
	in.must(err)
	in.closeLater(p.Close)
	return p
}

// counted is how many packets the intruder's program has seen.
func (in *intruder) counted() (n uint64) {
	in.Helper()
	in.must(in.count.Lookup(uint32(0), &n))
	return n
}

func (in *intruder) do(f func() error) {
	in.Helper()
	in.must(in.node.NS().Do(f))
}

// hook is that of the pod's ingress.
func (in *intruder) hook() hooktest.Hook {
	return hooktest.Hook{Ifindex: in.ifindex, Parent: netlink.HANDLE_MIN_EGRESS}
}

func (in *intruder) filter(chain uint32, priority uint16) *netlink.BpfFilter {
	return in.hook().Filter(in.counter, chain, priority)
}

// filters are those on the hook; it learns the priority of the agent's.
func (in *intruder) filters() (list []hooktest.Installed) {
	in.Helper()
	in.do(func() (err error) {
		list, err = in.hook().Filters()
		return err
	})
	for _, f := range list {
		if f.Name == "palisade" {
			in.ours = f.Priority
		}
	}
	return list
}

// repaired disturbs a filter some times while packets flow that the policy denies, and returns how long packets passed.
func (in *intruder) repaired(bl *blaster, what string, disturb func() error) []time.Duration {
	in.Helper()
	var open []time.Duration
	for range 5 {
		lost, _ := in.repairs()
		bl.first.Store(0)
		bl.last.Store(0)
		in.do(disturb)
		in.await(what+" is found and repaired", func() bool {
			now, repaired := in.repairs()
			return now > lost && repaired == now
		})
		in.await("the interface is filtered again", func() bool {
			bl.arrived.Store(0)
			sent := bl.sent.Load()
			in.await("packets are sent", func() bool { return bl.sent.Load() > sent+20 })
			return bl.arrived.Load() == 0
		})
		open = append(open, bl.passed())
	}
	slices.Sort(open)
	in.Logf("%s: packets passed for %v", what, open)
	return open
}

// repairs reads how many losses of a filter were found and how many were repaired.
func (in *intruder) repairs() (lost, repaired int) {
	in.Helper()
	for line := range strings.Lines(in.get("/metrics")) {
		_, _ = fmt.Sscanf(line, "palisade_agent_filters_lost_total %d", &lost)
		_, _ = fmt.Sscanf(line, "palisade_agent_filter_repair_seconds_count %d", &repaired)
	}
	return lost, repaired
}

func TestFiltersThatOthersTakeAwayComeBack(t *testing.T) {
	b := newNode(t)
	b.enforceOnePort("-hook", "clsact")
	denied := b.blast(allowedPort + 1)
	in := b.intrude()
	in.do(func() error {
		return errors.Join(netlink.FilterAdd(in.filter(0, 1)), netlink.FilterAdd(in.filter(5, 7)))
	})
	before := in.filters()
	if len(before) != 3 || in.ours == 0 {
		t.Fatalf("filters %q, want the agent's and two others", before)
	}
	for _, d := range []struct {
		what    string
		disturb func() error
	}{
		{"filter deleted", func() error { return netlink.FilterDel(in.filter(0, in.ours)) }},
		{"filter replaced", func() error { return netlink.FilterReplace(in.filter(0, in.ours)) }},
		{"qdisc deleted", func() error { return netlink.QdiscDel(hook.ClsactQdisc(in.ifindex)) }}, // last: it takes the others' filters along
	} {
		open := in.repaired(denied, d.what, d.disturb)
		if got := open[len(open)/2]; got > toldBound {
			t.Errorf("%s: packets passed for %s, want at most %s", d.what, got, toldBound)
		}
		if d.what == "qdisc deleted" {
			continue
		}
		if after := in.filters(); !slices.Equal(after, before) {
			t.Errorf("%s: filters %q, want %q as before", d.what, after, before)
		}
		seen, sent := in.counted(), denied.sent.Load()
		b.await("packets are sent", func() bool { return denied.sent.Load() > sent+20 })
		if in.counted() == seen {
			t.Errorf("%s: the filter of somebody else sees no packets any more", d.what)
		}
	}
	log := b.agent.log.String()
	if !strings.Contains(log, "shop/server") || !strings.Contains(log, "filtered again") {
		t.Error("the log names neither the pod nor the repair")
	}
	if !strings.Contains(log, "let pass before: ingress bpf filter of priority 1") {
		t.Error("the log does not name the filter that runs before the agent's")
	}
	b.await("nothing is said to run before any more", func() bool {
		return b.metric("palisade_agent_conditions ") == "palisade_agent_conditions 0"
	})
}

func TestLinksThatOthersTakeAwayComeBack(t *testing.T) {
	b := newNode(t)
	b.enforceOnePort()
	allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
	in := b.intrude()
	var other link.Link
	in.do(func() (err error) {
		other, err = link.AttachTCX(link.TCXOptions{Interface: in.ifindex, Program: in.counter, Attach: ebpf.AttachTCXEgress})
		return err
	})
	defer func() { b.must(other.Close()) }()
	pin := fmt.Sprintf("/proc/self/fd/%d/node/link-ingress-%d", b.pins.Fd(), in.ifindex)
	pinned := func(f func(link.Link) error) func() error {
		return func() error {
			l, err := link.LoadPinnedLink(pin, nil)
			if err != nil {
				return err
			}
			return errors.Join(f(l), l.Close())
		}
	}
	for _, d := range []struct {
		what    string
		disturb func() error
	}{
		{"link detached", pinned(link.Link.Detach)},
		{"program of the link replaced", pinned(func(l link.Link) error { return l.Update(in.load()) })},
		{"pin removed", func() error { return os.Remove(pin) }},
	} {
		open := in.repaired(denied, d.what, d.disturb)
		if got := open[len(open)/2]; got > lookedBound {
			t.Errorf("%s: packets passed for %s, want at most %s", d.what, got, lookedBound)
		}
		seen, arrived := in.counted(), allowed.arrived.Load()
		b.await("packets arrive that the policy allows", func() bool { return allowed.arrived.Load() > arrived+20 })
		if in.counted() == seen {
			t.Errorf("%s: the program of somebody else sees no packets any more", d.what)
		}
	}
}

// TestFinalVerdictsHidePacketsFromFiltersBehind, which are named. Without the option, such filters see all that passes:
// TestFiltersThatOthersTakeAwayComeBack and TestLinksThatOthersTakeAwayComeBack.
func TestFinalVerdictsHidePacketsFromFiltersBehind(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		add  func(*intruder) error
	}{
		"links": {nil, func(in *intruder) error {
			l, err := link.AttachTCX(link.TCXOptions{Interface: in.ifindex, Program: in.counter, Attach: ebpf.AttachTCXEgress})
			if err == nil {
				in.closeLater(l.Close)
			}
			return err
		}},
		"clsact": {[]string{"-hook", "clsact"}, func(in *intruder) error { return netlink.FilterAdd(in.filter(0, 40000)) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newNode(t)
			b.enforceOnePort(append(c.args, "-final-verdict")...)
			allowed, denied := b.blast(allowedPort), b.blast(allowedPort+1)
			in := b.intrude()
			in.do(func() error { return c.add(in) })
			arrived := allowed.arrived.Load()
			b.await("packets arrive that the policy allows", func() bool { return allowed.arrived.Load() > arrived+100 })
			if n := in.counted(); n > 0 {
				t.Errorf("a program behind the agent's has seen %d packets", n)
			}
			const object = `palisade_agent_condition{object="shop/server"}`
			b.await("that is told", func() bool { return b.metric(object) != "" })
			if !strings.Contains(b.agent.log.String(), "see no packet, as -final-verdict lets none go on: ingress ") {
				t.Error("the log does not name it")
			}
			b.endDenied(denied)
			b.end(allowed)
		})
	}
}

// TestStrictModeTakesDownWhatItCannotFilter: somebody holds the agent's place with a filter of another kind.
func TestStrictModeTakesDownWhatItCannotFilter(t *testing.T) {
	b := newNode(t)
	b.put(marked(t, selectClient())) // in strict mode a pod that no policy selects is closed
	b.enforceOnePort("-hook", "clsact", "-mode", "strict")
	in := b.intrude()
	in.filters()
	bl := b.blast(allowedPort)
	b.await("packets arrive that the policy allows", func() bool { return bl.arrived.Load() > 10 })
	usurper := &netlink.U32{FilterAttrs: in.hook().Attrs(0, in.ours), ClassId: 1}
	usurper.Handle = 0
	b.await("the place is taken", func() bool {
		err := b.node.NS().Do(func() error {
			return errors.Join(netlink.FilterDel(in.filter(0, in.ours)), netlink.FilterAdd(usurper))
		})
		return err == nil
	})
	b.await("the interface is down", func() bool { return !in.isUp() })
	b.await("that is told", func() bool { return b.metric(`palisade_agent_condition{object="shop/server"}`) != "" })
	ups := in.watchUps()
	const failures = `palisade_agent_errors_total{step="attach"} `
	before := b.metric(failures)
	down := bl.sent.Load() + 1 // one may be on its way, and all that were sent before may be read much later
	b.await("more packets are sent", func() bool { return bl.sent.Load() > down+100 })
	arrived := b.settled(bl)
	b.await("it is tried again", func() bool { return b.metric(failures) != before })
	b.await("more packets are sent", func() bool { return bl.sent.Load() > down+200 })
	if got := bl.highest.Load(); got > down {
		t.Errorf("packet %d passed, and after number %d the interface was down", got, down)
	}
	if got := ups.Load(); got > 0 {
		t.Errorf("the interface came up %d times", got)
	}
	in.do(func() error { return netlink.FilterDel(usurper) })
	b.await("the interface is up again", in.isUp)
	b.await("packets arrive again", func() bool { return bl.arrived.Load() > arrived+100 })
	if b.connects("client", serverIP, 80) {
		t.Error("the policy is not in force")
	}
	b.await("all is well again", func() bool { return b.metric("palisade_agent_conditions") == "palisade_agent_conditions 0" })
}

// TestStrictModeTakesDownWhatHasAnIngressQdisc from the start, where there is no tcx: it has no room for a filter of what the pod receives.
func TestStrictModeTakesDownWhatHasAnIngressQdisc(t *testing.T) {
	b := newNode(t)
	in := b.intrude()
	qdisc := hooktest.IngressQdisc(in.ifindex)
	in.do(func() error { return netlink.QdiscAdd(qdisc) })
	b.put(marked(t, selectClient()))
	b.enforceOnePort("-hook", "clsact", "-mode", "strict")
	b.await("the interface is down", func() bool { return !in.isUp() })
	b.await("that is told", func() bool { return b.metric(`palisade_agent_condition{object="shop/server"}`) != "" })
	in.do(func() error { return netlink.QdiscDel(qdisc) })
	b.await("the interface is up again", in.isUp)
	bl := b.blast(allowedPort)
	b.await("packets arrive that the policy allows", func() bool { return bl.arrived.Load() > 10 })
	if b.connects("client", serverIP, 80) {
		t.Error("the policy is not in force")
	}
}

// watchUps counts how often the kernel says from now on that the interface is up.
func (in *intruder) watchUps() *atomic.Uint64 {
	in.Helper()
	updates, done, ups := make(chan netlink.LinkUpdate, 1024), make(chan struct{}), &atomic.Uint64{}
	in.do(func() error { return netlink.LinkSubscribe(updates, done) })
	in.Cleanup(func() { close(done) })
	go func() {
		for u := range updates {
			if u.Attrs().Index == in.ifindex && u.Flags&unix.IFF_UP != 0 {
				ups.Add(1)
			}
		}
	}()
	return ups
}

func (in *intruder) isUp() (up bool) {
	in.Helper()
	in.do(func() error {
		l, err := netlink.LinkByIndex(in.ifindex)
		if err == nil {
			up = l.Attrs().Flags&net.FlagUp != 0
		}
		return err
	})
	return up
}

// leftFilters are those of an agent that has ended, by which the server is isolated both ways.
func leftFilters(t *testing.T) (*testbed, *intruder) {
	b := newNode(t)
	b.start("-hook", "clsact")
	b.awaitReady()
	policy := ingressTo("web")
	policy.Spec.PodIsolation = append(policy.Spec.PodIsolation, networkingv1.PolicyTypeEgress)
	b.putInForce(policy)
	b.agent.stop()
	in := b.intrude()
	if in.filters(); in.ours == 0 {
		t.Fatal("the agent has no filter")
	}
	return b, in
}

// lose removes the agent's filter in one direction.
func (in *intruder) lose() {
	in.Helper()
	in.do(func() error { return netlink.FilterDel(in.filter(0, in.ours)) })
}

// TestHalfAFilterIsMadeWholeAtOnce when an agent starts, whether the API server answers or not.
func TestHalfAFilterIsMadeWholeAtOnce(t *testing.T) {
	b, in := leftFilters(t)
	in.lose()
	egress := b.blastFrom("server", serverIP, "client", netip.AddrPortFrom(clientIP, 7000))
	ingress := b.blast(allowedPort)
	for begin := time.Now(); ingress.arrived.Load() == 0; runtime.Gosched() {
		if time.Since(begin) > patience {
			t.Fatal("the pod's ingress is filtered without a filter")
		}
	}
	b.must(b.fake.tellWhere("127.0.0.1:1")) // where none is
	b.start("-hook", "clsact")
	b.settled(ingress)
	b.endDenied(egress)
	if sent := ingress.sent.Load(); sent == ingress.highest.Load() {
		t.Error("the pod's ingress is not filtered again")
	}
	b.end(ingress)
}

// TestHalfAFilterOfOtherTablesIsLeftAlone by an agent whose tables are laid out otherwise, until policies are in force in these: what one
// direction denies stays denied.
func TestHalfAFilterOfOtherTablesIsLeftAlone(t *testing.T) {
	for name, late := range map[string]bool{"lost before it starts": false, "lost while it waits": true} {
		t.Run(name, func(t *testing.T) {
			b, in := leftFilters(t)
			for _, pin := range b.pinNames() { // as for another layout, no table is found
				if !strings.HasPrefix(pin, "pod_") && !strings.HasPrefix(pin, "known-pods") && !strings.HasPrefix(pin, "pod-names") {
					b.must(os.Remove(fmt.Sprintf("/proc/self/fd/%d/node/%s", b.pins.Fd(), pin)))
				}
			}
			egress := b.blastFrom("server", serverIP, "client", netip.AddrPortFrom(clientIP, 7000))
			if !late {
				in.lose()
			}
			where, err := os.ReadFile(b.fake.kubeconfig)
			b.must(err)
			b.must(b.fake.tellWhere("127.0.0.1:1")) // where none is
			b.start("-hook", "clsact")
			b.await("it has started", func() bool { return b.metric("palisade_agent_condition") != "" })
			if late {
				in.lose()
				b.await("that is noticed", func() bool { lost, _ := in.repairs(); return lost > 0 })
			}
			sent := egress.sent.Load()
			b.await("more packets are sent", func() bool { return egress.sent.Load() > sent+200 })
			if arrived := egress.arrived.Load(); arrived > 0 {
				t.Fatalf("%d packets of the pod passed before policies are known", arrived)
			}
			if b.metric(`palisade_agent_condition{object="interface`) == "" {
				t.Error("nobody is told that the other direction is open")
			}
			b.agent.stop()
			b.must(os.WriteFile(b.fake.kubeconfig, where, 0o600))
			b.start("-hook", "clsact")
			b.await("both directions are filtered", func() bool { return b.get("/readyz") == "ok\n" && !b.connects("client", serverIP, 80) })
			b.endDenied(egress)
		})
	}
}
