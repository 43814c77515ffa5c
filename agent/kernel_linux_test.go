package agent

import (
	"log/slog"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// TestNoInterfaceThatLivesLosesItsFilter, whoever takes it to be gone.
func TestNoInterfaceThatLivesLosesItsFilter(t *testing.T) {
	h := newHost(t)
	h.want(core.Attach{Ifindex: h.pod}, core.Attached{Ifindex: h.pod})
	h.want(core.Detach{Ifindex: h.pod}, core.Detached{Ifindex: h.pod, Lives: true})
	h.do(func() error {
		seen, err := h.hooks.Look(int(h.pod))
		if err == nil && seen[0].State != hook.Current {
			t.Errorf("the interface has %+v after Detach, want its programs", seen)
		}
		return err
	})
	h.do(func() error { return netlink.LinkDel(h.veth) })
	h.want(core.Detach{Ifindex: h.pod}, core.Detached{Ifindex: h.pod})
	if pinned, err := h.hooks.Attached(); err != nil || len(pinned) > 0 {
		t.Errorf("pinned for %v, %v when the interface is gone", pinned, err)
	}
}

// TestNothingIsAttachedToWhatIsGone, and the failure is not taken for one that may end.
func TestNothingIsAttachedToWhatIsGone(t *testing.T) {
	h := newHost(t)
	h.do(func() error { return netlink.LinkDel(h.veth) })
	h.want(core.Attach{Ifindex: h.pod}, core.Attached{Ifindex: h.pod, Gone: true})
}

// host is a network namespace with an interface, and who changes its kernel.
type host struct {
	*testing.T
	*kernel
	ns   *ns.NS
	veth *netlink.Veth
	pod  uint32 // the index of veth
}

// want runs an effect on interfaces and compares the result.
func (h *host) want(e core.Effect, want core.Input) {
	h.Helper()
	h.do(func() error {
		if got := h.interfaces(e); got != want {
			h.Errorf("%T%+v: %T%+v, want %+v", e, e, got, got, want)
		}
		return nil
	})
}

// do runs f in the namespace.
func (h *host) do(f func() error) {
	h.Helper()
	if err := h.ns.Do(f); err != nil {
		h.Fatal(err)
	}
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	space, err := ns.New()
	must(err)
	t.Cleanup(func() { must(space.Close()) })
	fs, err := pinfs.New()
	must(err)
	t.Cleanup(func() { must(fs.Close()) })
	dir, err := fs.Mkdir("node")
	must(err)
	d, err := openDatapath(Config{Pins: dir, Capacity: bpf.Capacity{Hosts: 16, Nets: 16, Flows: 1024}})
	must(err)
	t.Cleanup(func() { must(d.node.Close()) })
	k := &kernel{datapath: d, metrics: metrics.New(d.node.Counters, d.node.Memory), log: slog.New(slog.DiscardHandler)}
	h := &host{T: t, kernel: k, ns: space, veth: netlink.NewVeth(netlink.LinkAttrs{Name: "host"})}
	h.veth.PeerName = "pod"
	h.do(func() error { return netlink.LinkAdd(h.veth) })
	h.pod = uint32(h.veth.Index)
	return h
}
