package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/bench"
	"github.com/palisade-netpol/palisade/hack/bench/figure"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// measure runs one case. It fails when the datapath did not decide for the reason that the case is about.
func measure(c benchCase, rounds, packets int) (_ figure.Result, err error) {
	img, err := c.image()
	if err != nil {
		return figure.Result{}, err
	}
	room := capacity
	room.Flows = cmp.Or(c.room, room.Flows)
	node, err := bpf.Open(bpf.Options{Capacity: room, TrackIsolatedOnly: c.untrack})
	if err != nil {
		return figure.Result{}, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if _, err := node.Sync(img); err != nil {
		return figure.Result{}, err
	}
	b, err := bench.New(node, c.vary)
	if err != nil {
		return figure.Result{}, err
	}
	defer b.Close()
	f := frame.New(c.tuple(), c.kind)
	if c.replies {
		if err := b.Open(frame.New(c.tuple().Reply(), frame.First), 2*max(c.vary.Flows, 1)); err != nil {
			return figure.Result{}, err
		}
	}
	if err := c.check(node, b, f); err != nil {
		return figure.Result{}, err
	}
	var ok, packet []float64
	for range rounds {
		r, err := b.Run(f, packets)
		if err != nil {
			return figure.Result{}, err
		}
		ok, packet = append(ok, r.OK), append(packet, r.Verdict)
	}
	ratio := figure.Median(figure.Ratios(packet, ok))
	return figure.Result{Name: c.name, Base: figure.Median(ok), Time: figure.Median(packet), Ratio: ratio}, nil
}

// check sends some packets and reads the counters: all must have been decided for the reason wanted. A run that a signal interrupts begins
// anew, so that there may be more of them.
func (c *benchCase) check(n *bpf.Node, b *bench.Bench, f []byte) error {
	const sent = 1000
	before, err := n.Counters()
	if err != nil {
		return err
	}
	if err := b.Send(f, sent); err != nil {
		return err
	}
	after, err := n.Counters()
	if err != nil {
		return err
	}
	var wanted, others uint64
	for i := range after {
		if decided := after[i].Packets - before[i].Packets; after[i].Direction == flow.Egress && after[i].Reason == c.want {
			wanted += decided
		} else {
			others += decided
		}
	}
	if wanted < sent || others > 0 {
		return fmt.Errorf("%d packets were decided for the reason %s and %d for others; want all %d", wanted, c.want, others, sent)
	}
	return nil
}
