package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/palisade-netpol/palisade/hack/bench/veth"
)

// Policies are swapped at 100 Hz.
const swapEvery = 10 * time.Millisecond

// blast sends packets from pod to pod on this kernel while policies that all deny them take turns.
func blast(ctx context.Context, stdout io.Writer, o options) error {
	if o.packets == 0 {
		o.packets = 10_000_000
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	fmt.Fprintf(stdout, "%d packets that every policy denies, while policies are swapped every %s, for at most %s\n", o.packets, swapEvery, o.duration)
	r, err := veth.Blast(ctx, veth.BlastOptions{Packets: o.packets, Every: swapEvery})
	seconds := r.Elapsed.Seconds()
	if seconds > 0 {
		fmt.Fprintf(stdout, "%6.1fs  %d denied and %d allowed packets, %.0f packets/s, over %d swaps, %.0f a second: %d have arrived\n",
			seconds, r.Denied, r.Allowed, float64(r.Denied+r.Allowed)/seconds, r.Swaps, float64(r.Swaps)/seconds, r.Arrived.Packets)
	}
	return err
}
