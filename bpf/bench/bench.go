// Package bench measures what a verdict costs inside the kernel: the datapath's own C behind a driver that varies the packet
// from run to run, against the same driver before a program that returns OK at once.
package bench

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/bpf"
)

// Ifindex is the interface that test runs come from: loopback.
const Ifindex = 1

// Bench runs packets of one shape. The pod is the one at Ifindex, and packets leave it.
type Bench struct {
	ok, egress, ingress *ebpf.Program
}

// Vary says how packets differ: the source port takes Flows values, the bits of the destination before its last Apart ones take Peers values
// (about half as many where Apart is not 0 and there are as many flows). Flows and Peers are powers of two; zero means one.
type Vary struct{ Flows, Peers, Apart int }

// New loads the programs on the tables of n.
func New(n *bpf.Node, v Vary) (*Bench, error) {
	spec, err := loadObject()
	if err != nil {
		return nil, err
	}
	if err := n.Configure(spec); err != nil {
		return nil, err
	}
	flows, peers := uint32(max(v.Flows, 1)-1), uint32(max(v.Peers, 1)-1)<<v.Apart
	for name, mask := range map[string]uint32{objectVarFlowMask: flows, objectVarPeerMask: peers} {
		if err := spec.Variables[name].Set(mask); err != nil {
			return nil, err
		}
	}
	var progs struct {
		OK      *ebpf.Program `ebpf:"bench_ok"`
		Egress  *ebpf.Program `ebpf:"bench_egress"`
		Ingress *ebpf.Program `ebpf:"bench_ingress"`
	}
	if err := spec.LoadAndAssign(&progs, &ebpf.CollectionOptions{MapReplacements: n.Maps()}); err != nil {
		return nil, fmt.Errorf("load benchmark programs: %w", err)
	}
	return &Bench{ok: progs.OK, egress: progs.Egress, ingress: progs.Ingress}, nil
}

// Close unloads the programs.
func (b *Bench) Close() {
	_ = b.ok.Close()
	_ = b.egress.Close()
	_ = b.ingress.Close()
}

// Round is one measurement: the mean time of a packet in nanoseconds.
type Round struct{ OK, Verdict float64 }

// Run sends n packets through the program that returns OK and n through the verdict, one after the other.
func (b *Bench) Run(frame []byte, n int) (Round, error) {
	var r Round
	var err error
	if r.OK, err = timed(b.ok, frame, n); err != nil {
		return r, err
	}
	r.Verdict, err = timed(b.egress, frame, n)
	return r, err
}

// timed runs a program n times. The kernel says how long that took, but only in whole nanoseconds per run, which of 15 is too coarse: the
// clock around the system call counts, unless that was interrupted and began anew.
func timed(p *ebpf.Program, frame []byte, n int) (ns float64, err error) {
	const attempts, overhead = 5, 100 * time.Microsecond
	for range attempts {
		begin := time.Now()
		var whole time.Duration
		if _, whole, err = p.Benchmark(frame, n, nil); err != nil {
			return 0, err
		}
		took := time.Since(begin)
		if took < (whole+1)*time.Duration(n)+overhead {
			return float64(took) / float64(n), nil
		}
		ns = float64(whole) + 0.5 // what it says is rounded down
	}
	return ns, nil
}

// Send sends n packets through the verdict once, and does not measure.
func (b *Bench) Send(frame []byte, n int) error {
	_, _, err := b.egress.Benchmark(frame, n, nil)
	return err
}

// Open sends n packets towards the pod, as if from its node, so that they open the flows that a later Run answers.
func (b *Bench) Open(frame []byte, n int) error {
	_, _, err := b.ingress.Benchmark(frame, n, nil)
	return err
}
