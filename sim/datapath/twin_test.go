package datapath_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
	"github.com/palisade-netpol/palisade/sim/packets"
	"github.com/palisade-netpol/palisade/sim/random"
)

// TestTwinMatchesKernel sends the same packets — first ones, answers, later ones, mutated ones, in any order, over
// changing policies — through the programs in the kernel and through the twin, which must give the same reason for the
// same set and class each time.
func TestTwinMatchesKernel(t *testing.T) {
	needRoot(t)
	for _, mode := range []bpf.Mode{bpf.Standard, bpf.Strict} {
		kernel, err := bpf.NewHarness(bpf.Capacity{}, mode)
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, kernel)
		instance := uint32(0)
		rapid.Check(t, func(t *rapid.T) {
			twin := datapath.New(mode, func() time.Duration { return time.Hour })
			instance += 100 // the kernel forgets the flows of the last check
			for range rapid.IntRange(1, 3).Draw(t, "policies") {
				img := image(t, instance)
				twin.Load(img)
				if _, err := kernel.Sync(img); err != nil {
					t.Fatal(err)
				}
				for range rapid.IntRange(1, 40).Draw(t, "packets") {
					compare(t, kernel, twin, img)
				}
			}
		})
	}
}

func compare(t *rapid.T, kernel *bpf.Harness, twin *datapath.Datapath, img *bpf.Image) {
	dir := rapid.SampledFrom([]flow.Direction{flow.Egress, flow.Ingress}).Draw(t, "direction")
	ifindex := uint32(rapid.IntRange(1, len(img.Pods)+1).Draw(t, "interface"))
	fromNode := rapid.IntRange(0, 9).Draw(t, "from node") == 9
	f := packet(t, img)
	got, err := kernel.Run(dir, ifindex, fromNode, f)
	if err != nil {
		t.Fatal(err)
	}
	if want := twin.Run(dir, ifindex, fromNode, f); got != want {
		t.Fatalf("%s at %d of %x: kernel says %s %+v, twin %s %+v", dir, ifindex, f, got.Reason, got, want.Reason, want)
	}
}

// image draws a cluster and compiles it for a node that holds all its pods.
func image(t *rapid.T, instance uint32) *bpf.Image {
	capacity := rapid.SampledFrom(packets.Capacities[:]).Draw(t, "capacity")
	img, err := packets.Image(random.Cluster(t), instance, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// packet draws a packet between addresses that policies speak of, and sometimes spoils it.
func packet(t *rapid.T, img *bpf.Image) []byte {
	var v4, v6 []netip.Addr
	for _, p := range img.Pods {
		if p.IP4.IsValid() {
			v4 = append(v4, p.IP4)
		}
		if p.IP6.IsValid() {
			v6 = append(v6, p.IP6)
		}
	}
	for _, a := range random.Outside() {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	addrs, echo := v4, flow.ICMP
	if rapid.Bool().Draw(t, "IPv6") {
		addrs, echo = v6, flow.ICMPv6
	}
	port := rapid.SampledFrom([]uint16{1, 53, 80, 81, 443, 40000})
	f := frame.New(flow.Tuple{
		Src: rapid.SampledFrom(addrs).Draw(t, "source"), Dst: rapid.SampledFrom(addrs).Draw(t, "destination"),
		Protocol: rapid.SampledFrom([]flow.Protocol{flow.TCP, flow.UDP, flow.SCTP, echo, 50}).Draw(t, "protocol"),
		SrcPort:  port.Draw(t, "source port"), DstPort: port.Draw(t, "destination port"),
	}, frame.Kind(rapid.IntRange(0, 2).Draw(t, "kind")))
	switch rapid.IntRange(0, 9).Draw(t, "form") {
	case 7:
		f, _ = frame.Fragment(f, rapid.Uint32Range(1, 2).Draw(t, "id"), rapid.SampledFrom([]int{8, 24}).Draw(t, "cut at"))
	case 8:
		_, f = frame.Fragment(f, rapid.Uint32Range(1, 2).Draw(t, "id"), rapid.SampledFrom([]int{8, 24}).Draw(t, "cut at"))
	case 9:
		f = frame.Error(f, rapid.SampledFrom(addrs).Draw(t, "from"))
	}
	return spoil(t, f)
}

// spoil flips bytes of the headers, or cuts the frame short. (The kernel runs no test
// on an IP packet without a whole IP header.)
func spoil(t *rapid.T, f []byte) []byte {
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "spoiled bytes") {
		f[rapid.IntRange(12, min(len(f)-1, 75)).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	if rapid.IntRange(0, 9).Draw(t, "cut") == 9 {
		f = f[:rapid.IntRange(min(len(f), 54), len(f)).Draw(t, "length")]
	}
	return f
}

// FuzzParse feeds arbitrary frames to the twin, which must neither panic nor open an isolated pod by mistake.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame.New(flow.Tuple{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: flow.TCP}, frame.First))
	f.Add(frame.New(flow.Tuple{Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2"), Protocol: flow.UDP}, frame.First))
	d := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
	d.Load(&bpf.Image{Pods: []bpf.Pod{{Ifindex: 1, Instance: 1, Sets: [2]uint32{bpf.SetClosed, bpf.SetClosed}}}})
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
			if out := d.Run(dir, 1, false, frame); out.Reason.Verdict() == flow.Allow && out.Reason != bpf.ReasonNeighbour {
				t.Errorf("%s: %x passed a closed pod for reason %s", dir, frame, out.Reason)
			}
		}
	})
}
