package veth

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/palisade-netpol/palisade/bpf/onecpu"
	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

// Options say how long to measure what.
type Options struct {
	Rounds int
	Quick  bool   // short rounds, and no rule sets of more than 1,000
	Seed   uint64 // of the order within the rounds
	Match  func(name string) bool
	Log    io.Writer // progress
}

// limit is how long a kind of traffic goes through a filter in a round, at least.
func (o Options) limit() time.Duration {
	if o.Quick {
		return 5 * time.Millisecond
	}
	return 25 * time.Millisecond
}

// Measure returns a line for each kind of traffic and filter, and says which filters this machine does not have.
func Measure(o Options) (results []figure.Result, left []figure.Left, err error) {
	r, err := newRun(o)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if len(r.lanes) == 0 {
		return nil, r.left, nil
	}
	free, err := alone()
	if err != nil {
		return nil, nil, err
	}
	defer free()
	for i, order := range figure.Orders(o.Seed, o.Rounds, len(r.lanes)) {
		for _, l := range order {
			if err := r.lanes[l].measure(o, r.base, i%2 == 0); err != nil {
				return nil, nil, fmt.Errorf("round %d, %s: %w", i+1, r.lanes[l].name, err)
			}
		}
		fmt.Fprintf(o.Log, "veth: round %d of %d\n", i+1, o.Rounds)
	}
	return r.results(o), r.left, nil
}

// alone binds the thread to one CPU, the last that it may use, and keeps the garbage collector from running by itself,
// until free is called.
func alone() (free func(), err error) {
	release, err := onecpu.Bind()
	if err != nil {
		return nil, err
	}
	percent := debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(percent)
		release()
	}, nil
}
