package bpf_test

import (
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestPodsThatShareAPlace: interfaces whose indexes agree in the lower bits, as those of an old pod and a new one do at last, are told
// apart, whoever of them goes or comes, and after a restart.
func TestPodsThatShareAPlace(t *testing.T) {
	needRoot(t)
	const turn = 1 << 14 // places
	verdicts := map[uint32]struct {
		set  uint32
		want bpf.Reason
	}{
		iface:          {bpf.SetFirst, bpf.ReasonPolicy},
		iface + turn:   {bpf.SetClosed, bpf.ReasonClosed},
		iface + 2*turn: {bpf.SetOpen, bpf.ReasonNotIsolated},
		iface + 1<<23:  {bpf.SetClosed, bpf.ReasonClosed}, // too large for the place, also when it is free
		iface + 1<<24:  {bpf.SetFirst, bpf.ReasonPolicy},
	}
	opts := bpf.Options{Dir: pinDir(t), Capacity: small, Mode: bpf.Strict}
	load := func(h *bpf.Harness, present ...uint32) {
		t.Helper()
		img := image(bpf.PortsAll, 0)
		img.Pods = nil
		for _, ifindex := range present {
			img.Pods = append(img.Pods, bpf.Pod{Ifindex: ifindex, Instance: 7, IP4: pod, Sets: [2]uint32{bpf.SetOpen, verdicts[ifindex].set}})
		}
		mustSync(t, h.Node, img)
		if s := mustSync(t, h.Node, img); s != (bpf.Stats{}) {
			t.Errorf("with %d, the same again wrote %+v", present, s)
		}
		for ifindex, v := range verdicts {
			want := v.want
			if !slices.Contains(present, ifindex) {
				want = bpf.ReasonUnknownPod
			}
			for range 2 {
				if got, err := h.Run(flow.Ingress, ifindex, false, syn); err != nil || got.Reason != want {
					t.Errorf("with %d, interface %d: got %s (%v), want %s", present, ifindex, got.Reason, err, want)
				}
			}
		}
	}
	reopen := func() *bpf.Harness {
		h, err := bpf.OpenHarness(opts)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := reopen()
	load(h, iface, iface+turn, iface+2*turn, iface+1<<23)
	load(h, iface+turn, iface+2*turn) // the one that has the place goes
	load(h, iface+turn, iface+2*turn, iface+1<<24)
	load(h, iface, iface+turn, iface+2*turn) // it comes back
	load(h, iface+2*turn)
	load(h, iface+2*turn, iface+1<<23, iface)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = reopen()
	load(h, iface+2*turn, iface+1<<23, iface)
	load(h, iface+2*turn, iface+1<<23, iface+1<<24)
	load(h)
	closeLater(t, h)
}
