package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/sim/packets"
	"github.com/palisade-netpol/palisade/sim/random"
)

// perPolicy is how many packets are sent over one state of the policies, and states how many follow one another before all
// flows are forgotten. Together they are fewer than the kernel's table of flows holds, so that it forgets none by itself.
const perPolicy, states = 20_000, 3

// duel sends packets to the kernel and to its twin on all processors, for as long as the options say.
func duel(ctx context.Context, stdout io.Writer, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	workers, start := runtime.GOMAXPROCS(0), time.Now()
	fmt.Fprintf(stdout, "kernel = twin, packet by packet, on %d processors; seed %d, for %s\n", workers, o.seed, o.duration)
	var sent atomic.Int64
	var group sync.WaitGroup
	failures := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			defer cancel() // who is done has found something, or all are done
			more := func() bool { return ctx.Err() == nil && (o.packets == 0 || int(sent.Load()) < o.packets) }
			failures[w] = duelOn(o.seed+w, workers, more, &sent)
		})
	}
	group.Wait()
	elapsed := time.Since(start).Seconds()
	fmt.Fprintf(stdout, "%6.1fs  %d packets, %.0f packets/s; seed %d\n", elapsed, sent.Load(), float64(sent.Load())/elapsed, o.seed)
	return errors.Join(failures...)
}

// perOptions is how many seeds the same programs play: to load others takes a while.
const perOptions = 8

// duelOn plays one seed after the other.
func duelOn(seed, step int, more func() bool, sent *atomic.Int64) error {
	for turn := seed; more(); turn++ {
		if err := duelWith(packets.Options[uint(turn)%uint(len(packets.Options))], seed, step, more, sent); err != nil {
			return err
		}
		seed += perOptions * step
	}
	return nil
}

func duelWith(o bpf.Options, seed, step int, more func() bool, sent *atomic.Int64) (err error) {
	d, err := packets.NewDuel(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for i := 0; i < perOptions && more(); i++ {
		if err := duelOver(d, seed+i*step, sent); err != nil {
			return fmt.Errorf("seed %d, strict: %t, established flows kept: %t, isolated pods only: %t: %w",
				seed+i*step, o.Mode == bpf.Strict, o.KeepEstablished, o.TrackIsolatedOnly, err)
		}
	}
	return nil
}

// duelOver plays the policies of a few clusters, flows going on from one to the next.
func duelOver(d *packets.Duel, seed int, sent *atomic.Int64) error {
	if err := d.Start(seed); err != nil {
		return err
	}
	for state := range states {
		img, err := d.Load(random.Example(seed*states+state), packets.Capacities[state])
		if err != nil {
			return err
		}
		source := packets.New(uint64(seed), img)
		for range perPolicy {
			if err := d.Send(source.Next()); err != nil {
				return fmt.Errorf("state %d: %w", state, err)
			}
		}
		sent.Add(perPolicy)
	}
	return nil
}
