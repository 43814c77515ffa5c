package datapath_test

import (
	"cmp"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// where is a reason at the hook of a direction.
type where struct {
	flow.Direction
	bpf.Reason
}

// impossible says which reasons no packet can have, and why. ReasonTable is what verdict() in palisade.bpf.c makes
// of a number that is no reason and of a scratch value that is missing. But every path of judge() ends in a reason,
// the map of scratch values has one for each CPU from the start, and an index that user space gets wrong is cut to
// its table. It is there for the verifier, and so that a mistake in a later version drops packets and is counted.
var impossible = map[where]string{
	{flow.Egress, bpf.ReasonNone}:     "it stands for no verdict",
	{flow.Ingress, bpf.ReasonNone}:    "it stands for no verdict",
	{flow.Egress, bpf.ReasonTable}:    "no table leads there",
	{flow.Ingress, bpf.ReasonTable}:   "no table leads there",
	{flow.Egress, bpf.ReasonFromNode}: "what the node sends enters a pod",
	{flow.Ingress, bpf.ReasonSpoofed}: "the source is that of the peer, which its own node judges",
}

// instead sends a frame that has nothing to do with the flow.
func instead(s step, f []byte) step {
	s.make = func([]byte) []byte { return f }
	return s
}

// changed sends the packet with its headers changed, from the IP header on.
func changed(s step, change func(ip []byte)) step {
	s.make = func(f []byte) []byte { change(f[14:]); return f }
	return s
}

// complaint sends, the other way, the ICMP error of the packet's destination about it.
func complaint(s step) step {
	s.dir, s.about = s.dir.Opposite(), true
	s.make = func(f []byte) []byte {
		to := f[14+16 : 14+20]
		if f[14]>>4 == 6 {
			to = f[14+24 : 14+40]
		}
		destination, _ := netip.AddrFromSlice(to)
		return frame.Error(f, destination)
	}
	return s
}

// nobody are tables that say nothing of the pod; beyond leads from its sets to where no tables are.
func nobody() step {
	i := img("open", "open")
	i.Pods = nil
	return step{policy: i}
}

func beyond() step {
	i := img("open", "open")
	i.Pods[0].Sets = [2]uint32{0xfffffff0, 0xfffffff0}
	return step{policy: i}
}

// foreign gives the packet a source that is not the pod's, of either family.
func foreign(ip []byte) {
	if ip[0]>>4 == 4 {
		ip[15]++
	} else {
		ip[23]++
	}
}

// longer claims that the packet is longer than its frame.
func longer(ip []byte) {
	if ip[0]>>4 == 4 {
		ip[3]++
	} else {
		ip[5]++
	}
}

var (
	arpFrame  = append(make([]byte, 12), append([]byte{8, 6}, make([]byte, 28)...)...)
	vlanFrame = append(append(make([]byte, 12), 0x81, 0, 0, 1), tcp80(peerIP, podIP)[12:]...)
)

// The nodes of the cases.
var (
	plain   = bpf.Options{}
	strict  = bpf.Options{Mode: bpf.Strict}
	keeping = bpf.Options{KeepEstablished: true}
)

// reasonCases give each reason at each hook to the last of their packets.
var reasonCases = []struct {
	name  string
	node  bpf.Options
	steps []step
}{
	{"a rule allows what the pod sends", plain, []step{
		policy("peer:80", "closed"), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy)}},
	{"a rule allows what the pod gets", plain, []step{
		policy("closed", "peer:80"), in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy)}},
	{"no policy isolates what the pod sends", plain, []step{policy("open", "closed"),
		out(flow.TCP, frame.First, 4000, 81, bpf.ReasonNotIsolated)}},
	{"no policy isolates what the pod gets", plain, []step{policy("closed", "open"),
		in(flow.TCP, frame.First, 81, 5000, bpf.ReasonNotIsolated)}},
	{"the pod answers", plain, []step{
		policy("closed", "peer:80"), in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonReply)}},
	{"the pod is answered", plain, []step{
		policy("peer:80", "closed"), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply)}},
	{"the node calls", plain, []step{
		policy("closed", "closed"), node(in(flow.TCP, frame.First, 81, 5000, bpf.ReasonFromNode))}},
	{"the pod looks for a neighbour", plain, []step{policy("closed", "closed"),
		instead(out(flow.TCP, frame.First, 0, 0, bpf.ReasonNeighbour), arpFrame)}},
	{"a neighbour looks for the pod", plain, []step{policy("closed", "closed"),
		instead(in(flow.TCP, frame.First, 0, 0, bpf.ReasonNeighbour), arpFrame)}},
	{"a later fragment leaves after its first one", plain, []step{policy("peer:80", "closed"),
		fragment(out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy), 0, 24),
		fragment(out(flow.UDP, frame.First, 4000, 80, bpf.ReasonLaterFragment), 1, 24)}},
	{"a later fragment comes after its first one", plain, []step{policy("closed", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy), 0, 24),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonLaterFragment), 1, 24)}},
	{"the pod sends an error about a flow that is served", plain, []step{policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		complaint(in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonRelated))}},
	{"the pod gets an error about a flow of its own", plain, []step{policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		about(out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonRelated))}},
	{"the pod goes on with a flow of its own that is revoked", keeping, []step{policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy), policy("closed", "closed"),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonEstablished)}},
	{"the peer goes on with a flow of its own that is revoked", keeping, []step{policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy), policy("closed", "closed"),
		in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonEstablished)}},
	{"nobody knows the pod that sends", plain, []step{
		nobody(), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonUnknownPodOpen)}},
	{"nobody knows the pod that gets", plain, []step{
		nobody(), in(flow.TCP, frame.First, 80, 5000, bpf.ReasonUnknownPodOpen)}},
	{"no rule allows what the pod sends", plain, []step{
		policy("peer:80", "open"), out(flow.TCP, frame.First, 4000, 81, bpf.ReasonNoRule)}},
	{"no rule allows what the pod gets", plain, []step{
		policy("open", "peer:80"), in(flow.TCP, frame.First, 81, 5000, bpf.ReasonNoRule)}},
	{"sets beyond the tables open nothing", plain, []step{
		beyond(), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonNoRule),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonNoRule)}},
	{"the pod may send nothing", plain, []step{
		policy("closed", "open"), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonClosed)}},
	{"the pod may get nothing", plain, []step{
		policy("open", "closed"), in(flow.TCP, frame.First, 80, 5000, bpf.ReasonClosed)}},
	{"nobody knows the pod that sends, in strict mode", strict, []step{
		nobody(), out(flow.TCP, frame.First, 4000, 80, bpf.ReasonUnknownPod)}},
	{"nobody knows the pod that gets, in strict mode", strict, []step{
		nobody(), in(flow.TCP, frame.First, 80, 5000, bpf.ReasonUnknownPod)}},
	{"the pod takes another's address, also where it is not isolated", plain, []step{policy("open", "open"),
		changed(out(flow.TCP, frame.First, 4000, 80, bpf.ReasonSpoofed), foreign)}},
	{"the pod sends less than it says", plain, []step{policy("peer:80", "open"),
		changed(out(flow.TCP, frame.First, 4000, 80, bpf.ReasonMalformed), longer)}},
	{"the pod gets less than is said", plain, []step{policy("open", "peer:80"),
		changed(in(flow.TCP, frame.First, 80, 5000, bpf.ReasonMalformed), longer)}},
	{"the pod sends a VLAN tag", plain, []step{policy("peer:80", "open"),
		instead(out(flow.TCP, frame.First, 0, 0, bpf.ReasonUnsupported), vlanFrame)}},
	{"the pod gets a VLAN tag", plain, []step{policy("open", "peer:80"),
		instead(in(flow.TCP, frame.First, 0, 0, bpf.ReasonUnsupported), vlanFrame)}},
	{"no pod sends a VLAN tag, also where it is not isolated", plain, []step{policy("open", "open"),
		instead(out(flow.TCP, frame.First, 0, 0, bpf.ReasonUnsupported), vlanFrame)}},
	{"no pod hides another's address behind what is malformed", plain, []step{policy("open", "open"),
		changed(out(flow.TCP, frame.First, 4000, 80, bpf.ReasonSpoofed), func(ip []byte) { foreign(ip); longer(ip) })}},
	{"a later fragment leaves without its first one", plain, []step{policy("peer:80", "open"),
		fragment(out(flow.UDP, frame.First, 4000, 80, bpf.ReasonFragment), 1, 24)}},
	{"a later fragment comes without its first one", plain, []step{policy("open", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonFragment), 1, 24)}},
}

// witness is a runner that notes which reasons the kernel gave, and that each was counted.
type witness struct {
	kernel
	t    *testing.T
	seen map[where]bool
}

func (w *witness) run(dir flow.Direction, from sender, f []byte) (bpf.Reason, error) {
	before := w.counted(dir)
	r, err := w.kernel.run(dir, from, f)
	if after := w.counted(dir); err == nil && after[r] != before[r]+1 {
		w.t.Errorf("%s %s: the counter went from %d to %d", dir, r, before[r], after[r])
	}
	w.seen[where{dir, r}] = true
	return r, err
}

// counted are the packets of a direction by reason.
func (w *witness) counted(dir flow.Direction) map[bpf.Reason]uint64 {
	list, err := w.Counters()
	if err != nil {
		w.t.Fatal(err)
	}
	packets := map[bpf.Reason]uint64{}
	for _, c := range list {
		if c.Direction == dir {
			packets[c.Reason] += c.Packets
		}
	}
	return packets
}

// TestEveryReasonIsGiven plays a case for each reason at each hook, to the twin and to the kernel, and fails where
// the kernel gave one of them in no case and it is not said why.
func TestEveryReasonIsGiven(t *testing.T) {
	needRoot(t)
	seen, harness := map[where]bool{}, map[bpf.Options]*bpf.Harness{}
	for _, o := range []bpf.Options{plain, strict, keeping} {
		harness[o] = open(t, o)
	}
	instance := uint32(0)
	for _, c := range reasonCases {
		for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
			t.Run(flow.FamilyOf(addrs[0]).String()+"/"+c.name, func(t *testing.T) {
				instance++
				playSteps(t, &witness{kernel{harness[c.node], instance}, t, seen}, c.steps, addrs[0], addrs[1])
				playSteps(t, newTwin(c.node), c.steps, addrs[0], addrs[1])
			})
		}
	}
	for r := bpf.ReasonNone; r < bpf.ReasonCount; r++ {
		if strings.HasPrefix(r.String(), "reason-") { // an unused number: TestEveryReasonHasAWord sees to that
			continue
		}
		for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
			why, excused := impossible[where{dir, r}]
			if given := seen[where{dir, r}]; given == excused {
				t.Errorf("%s %s: given in a case: %t, said to be impossible: %q", dir, r, given, why)
			}
		}
	}
}

// needRoot skips a test that is about the kernel's programs.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: packets go through the kernel's programs")
	}
}

// open loads the programs with small tables, until the end of the test; 1,024 flows if the options say nothing.
func open(t *testing.T, o bpf.Options) *bpf.Harness {
	t.Helper()
	o.Capacity = bpf.Capacity{Peers4: 512, Flows: cmp.Or(o.Capacity.Flows, 1024)}
	h, err := bpf.OpenHarness(o)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, h)
	return h
}

// closeLater closes c at the end of the test.
func closeLater(t testing.TB, c io.Closer) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
