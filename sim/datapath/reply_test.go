package datapath_test

import (
	"os"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// TestRepliesAreRememberedForTheirFlowOnly: the kernel keeps replies that it has allowed in a small table by a hash of
// their addresses and ports, so others that come to the same place must be told apart.
func TestRepliesAreRememberedForTheirFlowOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only the kernel has that table")
	}
	h, err := bpf.NewHarness(bpf.Capacity{Peers4: 512, Flows: 1024}, bpf.Standard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	k := &kernel{h, 1}
	if err := k.load(img("closed", "peer:80")); err != nil {
		t.Fatal(err)
	}
	opened := flow.Tuple{Src: peerIP, Dst: podIP, Protocol: flow.TCP, SrcPort: 4000, DstPort: 80}
	send := func(dir flow.Direction, tuple flow.Tuple, kind frame.Kind, want bpf.Reason) {
		t.Helper()
		if got, err := k.run(dir, false, frame.New(tuple, kind)); err != nil || got != want {
			t.Fatalf("%s %+v: got %s (%v), want %s", dir, tuple, got, err, want)
		}
	}
	send(flow.Ingress, opened, frame.First, bpf.ReasonPolicy)
	reply := opened.Reply()
	for range 2 { // looked up, then remembered
		send(flow.Egress, reply, frame.Later, bpf.ReasonReply)
	}
	for port := 1; port <= 65535; port++ {
		other := reply
		other.DstPort = uint16(port)
		if other != reply {
			send(flow.Egress, other, frame.Later, bpf.ReasonClosed)
		}
		other = reply
		other.SrcPort = uint16(port)
		if other != reply {
			send(flow.Egress, other, frame.Later, bpf.ReasonClosed)
		}
		if port%1000 == 0 { // so that it is still there
			send(flow.Egress, reply, frame.Later, bpf.ReasonReply)
		}
	}
}
