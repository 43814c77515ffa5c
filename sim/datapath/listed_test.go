package datapath_test

import (
	"math/rand/v2"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// portRange is a range of ports of a protocol: 0 for TCP, 1 for UDP, 2 for SCTP.
type portRange struct {
	protocol    int
	first, last uint32
}

var listed = [...]flow.Protocol{flow.TCP, flow.UDP, flow.SCTP}

// allowing is an image whose list allows the peer some ranges, which are in ascending order. The list does not begin where the table does,
// and before it, and behind it where there is room, the table is full of edges of others.
func allowing(ranges []portRange) *bpf.Image {
	bits := 1
	for 1<<bits < 2*len(ranges) {
		bits++
	}
	i, size := img("open", "peer:80"), 1<<bits
	i.PortEdges = make([]uint32, min(3*size, bpf.DefaultCapacity().PortEdges))
	for at := range i.PortEdges {
		i.PortEdges[at] = uint32(at % 2)
	}
	list := i.PortEdges[size : 2*size]
	for at := range list {
		list[at] = bpf.PortEdgesEnd
	}
	for n, r := range ranges {
		base := uint32(r.protocol) << bpf.PortEdgesProtocolShift
		list[2*n], list[2*n+1] = base+r.first, base+r.last+1
	}
	i.Rows[1].Ports[1] = bpf.Listed(size, bits)
	return i
}

// TestListedPorts: a list allows the ports of its ranges, and neither those beside them nor the same ones of other protocols,
// however long it is.
func TestListedPorts(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	kinds := judges(t)
	for _, count := range []int{1, 2, 3, 4, 5, 31, 32, 33, 1000, 10_000} {
		var ranges []portRange
		step := 3 * 65000 / count
		for n := range count {
			protocol, first := n*step/65000, n*step%65000
			// At least one port lies between two ranges.
			last := first + random.IntN(max(1, min(step-2, 65535-first)))
			ranges = append(ranges, portRange{protocol, uint32(first), uint32(last)})
		}
		i := allowing(ranges)
		for range map[bool]int{false: 200, true: 50}[testing.Short()] {
			r := ranges[random.IntN(count)]
			for _, port := range []uint32{r.first - 1, r.first, r.last, r.last + 1} {
				if port == 0 || port > 65535 {
					continue
				}
				for protocol, p := range listed {
					want := bpf.ReasonNoRule
					for _, r := range ranges {
						if r.protocol == protocol && r.first <= port && port <= r.last {
							want = bpf.ReasonPolicy
						}
					}
					f := frame.New(flow.Tuple{Src: peerIP, Dst: podIP, Protocol: p, SrcPort: 40000, DstPort: uint16(port)}, frame.First)
					for k, run := range kinds {
						if got, err := run(i, f); err != nil || got.Reason != want {
							t.Fatalf("%d ranges, %s/%d: %s says %s (%v), want %s", count, p, port, []string{"twin", "kernel"}[k], got.Reason, err, want)
						}
					}
				}
			}
		}
	}
}

// TestListedPortsOfFragments: a packet without ports passes where all of its protocol are allowed.
func TestListedPortsOfFragments(t *testing.T) {
	kinds := judges(t)
	for _, c := range []struct {
		what   string
		ranges []portRange
		want   [3]bpf.Reason
	}{
		{"all of TCP", []portRange{{0, 0, 65535}}, [3]bpf.Reason{bpf.ReasonPolicy, bpf.ReasonFragment, bpf.ReasonFragment}},
		{"all of UDP and TCP", []portRange{{0, 0, 65535}, {1, 0, 65535}}, [3]bpf.Reason{bpf.ReasonPolicy, bpf.ReasonPolicy, bpf.ReasonFragment}},
		{"all of SCTP, some of UDP", []portRange{{1, 80, 80}, {2, 0, 65535}}, [3]bpf.Reason{bpf.ReasonFragment, bpf.ReasonFragment, bpf.ReasonPolicy}},
		{"all of UDP but the last", []portRange{{1, 0, 65534}}, [3]bpf.Reason{bpf.ReasonFragment, bpf.ReasonFragment, bpf.ReasonFragment}},
		{"all of UDP but the first", []portRange{{1, 1, 65535}}, [3]bpf.Reason{bpf.ReasonFragment, bpf.ReasonFragment, bpf.ReasonFragment}},
		{"all of UDP but one", []portRange{{1, 0, 999}, {1, 1001, 65535}}, [3]bpf.Reason{bpf.ReasonFragment, bpf.ReasonFragment, bpf.ReasonFragment}},
	} {
		i := allowing(c.ranges)
		for n, p := range listed {
			whole := frame.New(flow.Tuple{Src: peerIP, Dst: podIP, Protocol: p, SrcPort: 40000, DstPort: 80}, frame.First)
			_, later := frame.Fragment(whole, 7, 24)
			for k, run := range kinds {
				if got, err := run(i, later); err != nil || got.Reason != c.want[n] {
					t.Errorf("%s, %s: %s says %s (%v), want %s", c.what, p, []string{"twin", "kernel"}[k], got.Reason, err, c.want[n])
				}
			}
		}
	}
}

// TestListedOtherProtocols: a list is of ports; a protocol without them is not allowed by any.
func TestListedOtherProtocols(t *testing.T) {
	i := allowing([]portRange{{0, 0, 65535}, {1, 0, 65535}, {2, 0, 65535}})
	for _, p := range []flow.Protocol{flow.ICMP, 47} {
		f := frame.New(flow.Tuple{Src: peerIP, Dst: podIP, Protocol: p}, frame.First)
		for k, run := range judges(t) {
			if got, err := run(i, f); err != nil || got.Reason.Verdict() != flow.Deny {
				t.Errorf("%s: %s says %s (%v), want it denied", p, []string{"twin", "kernel"}[k], got.Reason, err)
			}
		}
	}
}
