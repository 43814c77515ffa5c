// Command soak draws random clusters, one per seed, and asks the model, the compiled tables and, as root, the kernel
// about every connection in them, for as long as it is told. Where they are not of one opinion it cuts the cluster down
// to what matters and writes it as manifests, so that it can be looked at with "palisade matrix" and "palisade why". With
// -duel it sends random packets to the kernel and to its twin in Go instead, on all processors, and with -blast it sends packets from pod
// to pod while policies that deny them are swapped.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"time"

	"github.com/palisade-netpol/palisade/hack/command"
)

func main() {
	command.Main("soak", func(ctx context.Context, s command.Streams, args []string) error { return run(ctx, s.Out, args) })
}

// options say how long to go on, where to begin, and where failures go. Whatever limit is reached first ends it.
type options struct {
	duration time.Duration
	cells    int // 0: no limit
	duel     bool
	blast    bool
	packets  int // likewise, with duel and blast
	seed     int // 0: one that the clock chooses
	failures int // give up after so many
	out      string
}

func run(ctx context.Context, stdout io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long to go on")
	flags.IntVar(&o.cells, "cells", 0, "end after so many cells; 0: when the time is over")
	flags.BoolVar(&o.duel, "duel", false, "compare the kernel with its twin in Go instead, packet by packet (as root)")
	flags.BoolVar(&o.blast, "blast", false, "send packets from pod to pod instead while policies that deny them are swapped at 100 Hz (as root)")
	flags.IntVar(&o.packets, "packets", 0, "end after so many packets; 0: when the time is over, with -blast after 10,000,000")
	flags.IntVar(&o.seed, "seed", 0, "the first cluster's seed, those after it count up; 0: by the clock")
	flags.IntVar(&o.failures, "failures", 3, "give up after so many differences")
	flags.StringVar(&o.out, "out", "out", "where reproductions are written")
	if err := command.Parse(flags, args); err != nil {
		return err
	}
	if o.duel && o.blast {
		return errors.New("-duel and -blast are two runs: ask for one")
	}
	if o.seed == 0 {
		o.seed = int(time.Now().Unix())
	}
	if o.blast {
		return blast(ctx, stdout, o)
	}
	if o.duel {
		return duel(ctx, stdout, o)
	}
	s, err := newSoak(ctx, stdout, o)
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx), s.close())
}
