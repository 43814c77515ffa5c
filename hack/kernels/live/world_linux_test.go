package live_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

// How long an answer may take in an emulated machine, and how long to wait for one that must not come.
const (
	long  = 10 * time.Second
	short = 300 * time.Millisecond
)

// world is a node with two pods, seen through one address family.
type world struct {
	mode           hook.Mode
	client, server netip.Addr
	node           *fabric.Node
	pods           map[string]*fabric.Pod
	prober         *prober.Prober
	pins           string
}

func newWorld(t *testing.T, mode hook.Mode, family string) *world {
	w := &world{mode: mode, pods: map[string]*fabric.Pod{}, prober: prober.New()}
	t.Cleanup(w.prober.Close)
	nodeAddr := netip.MustParseAddr("192.0.2.1")
	w.client, w.server = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	if family == "IPv6" {
		nodeAddr = netip.MustParseAddr("fd00:2::1")
		w.client, w.server = netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:1::2")
	}
	w.wire(t, nodeAddr)
	fs, err := pinfs.New()
	check(t, err)
	t.Cleanup(func() { check(t, fs.Close()) })
	w.pins, err = fs.Mkdir("node")
	check(t, err)
	return w
}

// wire makes the node and the pods.
func (w *world) wire(t *testing.T, nodeAddr netip.Addr) {
	f, err := fabric.New()
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	w.node, err = f.AddNode("node", []netip.Addr{nodeAddr})
	check(t, err)
	t.Cleanup(func() { check(t, w.node.Release()) })
	for name, addr := range map[string]netip.Addr{"client": w.client, "server": w.server} {
		pod, err := w.node.AddPod(fabric.LinkName("default", name), []netip.Addr{addr})
		check(t, err)
		t.Cleanup(func() { check(t, pod.Release()) })
		check(t, pod.Up())
		w.pods[name] = pod
		w.prober.Add(name, pod.NS(), []netip.Addr{addr})
	}
}

// options are those of every agent of the node.
func (w *world) options() agent.Config {
	return agent.Config{Pins: w.pins, Hook: w.mode, Capacity: bpf.Capacity{Hosts: 1024, Nets: 1024, Flows: 4096}}
}

func (w *world) agent(t *testing.T) *agent.Agent {
	t.Helper()
	a, err := agent.Open(t.Context(), w.options())
	check(t, err)
	return a
}

// apply makes an agent enforce policies on both pods.
func (w *world) apply(t *testing.T, a *agent.Agent, policies ...*v1alpha1.PolicyEndpoint) {
	t.Helper()
	var pods []agent.Pod
	for name, addr := range map[string]netip.Addr{"client": w.client, "server": w.server} {
		pods = append(pods, agent.Pod{
			Namespace: "default", Name: name, Addrs: []netip.Addr{addr}, Ifindex: uint32(w.pods[name].Ifindex()),
		})
	}
	check(t, w.node.NS().Do(func() error { return a.Apply(t.Context(), pods, policies) }))
}

// detach takes the programs off the server's interface, where they must have been.
func (w *world) detach(t *testing.T) {
	t.Helper()
	n, err := bpf.Open(bpf.Options{Dir: w.pins, Capacity: w.options().Capacity})
	check(t, err)
	defer func() { check(t, n.Close()) }()
	ifindex := w.pods["server"].Ifindex()
	hooks := hook.Hooks{Node: n, Mode: w.mode}
	check(t, w.node.NS().Do(func() error {
		if there, err := hooks.Has(ifindex); err != nil || !there {
			t.Errorf("programs on interface %d: %v (%v), want both", ifindex, there, err)
		}
		if err := hooks.Detach(ifindex); err != nil {
			return err
		}
		if there, err := hooks.Has(ifindex); err != nil || there {
			t.Errorf("programs on interface %d after they were taken off: %v (%v)", ifindex, there, err)
		}
		return nil
	}))
}

// programs returns the ids of the programs at the pins.
func (w *world) programs(t *testing.T) []ebpf.ProgramID {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(w.pins, "pod_*gress-*"))
	check(t, err)
	if len(pins) != 2 {
		t.Fatalf("programs are pinned at %q, want one per direction", pins)
	}
	var ids []ebpf.ProgramID
	for _, pin := range pins {
		p, err := ebpf.LoadPinnedProgram(pin, nil)
		check(t, err)
		defer func() { check(t, p.Close()) }()
		info, err := p.Info()
		check(t, err)
		id, ok := info.ID()
		if !ok {
			t.Fatalf("the program at %s has no id", pin)
		}
		ids = append(ids, id)
	}
	return ids
}

// hook says what the programs hang on: tcx has links, which are pinned.
func (w *world) hook(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(w.pins)
	check(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "link-") {
			return "tcx"
		}
	}
	return "clsact"
}

// probe is a connection from the client to a port of the server.
func (w *world) probe(protocol flow.Protocol, port uint16, timeout time.Duration) prober.Probe {
	to := netip.AddrPortFrom(w.server, port)
	return prober.Probe{From: "client", To: to, Targets: []netip.AddrPort{to}, Protocol: protocol, Timeout: timeout}
}

func (w *world) expect(t *testing.T, want backend.Outcome, protocol flow.Protocol, port uint16) {
	t.Helper()
	timeout := long
	if want == backend.Blocked {
		timeout = short
	}
	seen, err := w.prober.Probe(t.Context(), []prober.Probe{w.probe(protocol, port, timeout)})
	check(t, err)
	if seen[0].Outcome != want {
		t.Errorf("%s/%d: %+v, want %s", protocol, port, seen[0], want)
	}
}

// keep opens a connection that stays open.
func (w *world) keep(t *testing.T) {
	t.Helper()
	seen, err := w.prober.Keep(t.Context(), "kept", w.probe(flow.TCP, 80, long))
	check(t, err)
	if seen.Outcome != backend.Connected {
		t.Fatalf("connection to keep: %+v", seen)
	}
}

// expectKept says whether packets of the kept connection must pass to the server, and answers back. Where they must not,
// nothing is said of the way back: TCP holds what the server says as long as an acknowledgement is missing, and the last
// one may have met the new policy.
func (w *world) expectKept(t *testing.T, pass bool) {
	t.Helper()
	timeout := long
	if !pass {
		timeout = short
	}
	seen, err := w.prober.Exchange(t.Context(), []string{"kept"}, timeout)
	check(t, err)
	if p := seen[0]; p.There != pass || pass && !p.Back {
		t.Errorf("kept connection: %+v, want it to pass: %t", p, pass)
	}
}
