package main

import (
	"errors"
	"fmt"
	"slices"

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
	node, err := bpf.Open(bpf.Options{
		Capacity: capacity, TrackIsolatedOnly: c.untrack,
	})
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

// check sends some packets and reads the counters: all must have been decided for the reason wanted.
func (c *benchCase) check(n *bpf.Node, b *bench.Bench, f []byte) error {
	const sent = 1000
	before, err := count(n, c.want)
	if err != nil {
		return err
	}
	if err := b.Send(f, sent); err != nil {
		return err
	}
	after, err := count(n, c.want)
	if err == nil && after-before != sent {
		err = fmt.Errorf("%d of %d packets were decided for the reason %s", after-before, sent, c.want)
	}
	return err
}

func count(n *bpf.Node, want bpf.Reason) (uint64, error) {
	counters, err := n.Counters()
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(counters, func(k bpf.Counter) bool { return k.Direction == flow.Egress && k.Reason == want })
	return counters[i].Packets, nil
}
