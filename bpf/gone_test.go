package bpf_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestGonePodIsUnknownInBothBanks: whoever gets the interface of a deleted pod is nobody, whichever bank is live.
func TestGonePodIsUnknownInBothBanks(t *testing.T) {
	h := harness(t, bpf.Strict)
	mustSync(t, h.Node, image(bpf.PortsAll, 0))
	mustSync(t, h.Node, image(bpf.PortsAll, 1))
	expect(t, h, bpf.ReasonPolicy)
	mustSync(t, h.Node, &bpf.Image{})
	expect(t, h, bpf.ReasonUnknownPod)
	other := image(bpf.PortsAll, 2)
	other.Pods[0].Ifindex++
	mustSync(t, h.Node, other)
	expect(t, h, bpf.ReasonUnknownPod)
}

// TestWhatIsBeyondATableIsCleared: a bank that held more before holds nothing beyond what it is given now.
func TestWhatIsBeyondATableIsCleared(t *testing.T) {
	h := harness(t, bpf.Standard)
	larger := image(bpf.PortsAll, 20)
	larger.Hosts = append(larger.Hosts, bpf.Host{Addr: bpf.Mapped(netip.MustParseAddr("fd00::2")), Class: 1})
	larger.Nets = append(larger.Nets, bpf.Net{Addr: bpf.Mapped(netip.MustParseAddr("fd01::")), Bits: 16, Class: 1})
	mustSync(t, h.Node, larger)
	mustSync(t, h.Node, image(bpf.PortsAll, 0))
	mustSync(t, h.Node, image(bpf.PortsNone, 0)) // into the bank that held the larger one
	if s := mustSync(t, h.Node, image(bpf.PortsNone, 0)); s != (bpf.Stats{}) {
		t.Errorf("the same image again wrote %+v: the bank held more than it", s)
	}
	expect(t, h, bpf.ReasonNoRule)
}
