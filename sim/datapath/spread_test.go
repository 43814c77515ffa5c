package datapath_test

import (
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/address"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// TestFlowsSpreadOverTheTable: flows that differ in a regular way do not crowd in a few places of the kernel's table, whatever its
// seed. A quarter full, it has room for nearly all: of 1,000 at random, less than one finds no way free.
func TestFlowsSpreadOverTheTable(t *testing.T) {
	needRoot(t)
	const flows, room, few = 1000, 4096, 5
	for range 8 {
		h := open(t, bpf.Options{Capacity: bpf.Capacity{Flows: room}})
		for i, vary := range []func(n uint64) flow.Tuple{
			func(n uint64) flow.Tuple { return flow.Tuple{Src: podIP, Dst: peerIP, SrcPort: 1024 + uint16(n)} },
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP, Dst: address.Nth(peerIP, n, 0), SrcPort: 1024}
			},
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP, Dst: address.Nth(peerIP, n, 12), SrcPort: 1024}
			},
			func(n uint64) flow.Tuple { return flow.Tuple{Src: podIP6, Dst: peerIP6, SrcPort: 1024 + uint16(n)} },
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP6, Dst: address.Nth(peerIP6, n, 0), SrcPort: 1024}
			},
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP6, Dst: address.Nth(peerIP6, n, 48), SrcPort: 1024}
			},
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP6, Dst: address.Nth(peerIP6, n, 64), SrcPort: 1024}
			},
			func(n uint64) flow.Tuple {
				return flow.Tuple{Src: podIP6, Dst: address.Nth(peerIP6, n, 80), SrcPort: 1024}
			},
		} {
			k := &kernel{h, uint32(1 + i)} // what the pods before have opened is over
			if err := k.load(img("open", "closed")); err != nil {
				t.Fatal(err)
			}
			tuple := func(n int) flow.Tuple {
				tuple := vary(uint64(n))
				tuple.Protocol, tuple.DstPort = flow.TCP, 443
				return tuple
			}
			for n := range flows {
				if got, err := k.run(flow.Egress, another, frame.New(tuple(n), frame.First)); err != nil || got != bpf.ReasonNotIsolated {
					t.Fatalf("%+v: %s (%v)", tuple(n), got, err)
				}
			}
			lost := 0
			for n := range flows {
				got, err := k.run(flow.Ingress, another, frame.New(tuple(n).Reply(), frame.Later))
				if err != nil {
					t.Fatal(err)
				}
				if got != bpf.ReasonReply {
					lost++
				}
			}
			if lost > few {
				t.Errorf("of %d flows such as %+v and %+v, %d are not known any more", flows, tuple(0), tuple(1), lost)
			}
		}
	}
}
