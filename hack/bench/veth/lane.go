package veth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
	"github.com/palisade-netpol/palisade/scenarios/backend/retry"
)

// lane is a filter, the bed that it stands in, and what was measured so far: nanoseconds per operation of each round,
// by name of a traffic.
type lane struct {
	name   string
	filter *filter
	bed    *bed
	times  map[string][]float64
	base   map[string][]float64 // of no program, right before or after
}

// measure is a round of one lane, next to one of no program, which is the first or the last of the two.
func (l *lane) measure(o Options, base *lane, baseFirst bool) error {
	wanted := func(t *traffic) bool { return o.Match(lineName(t.name, l.name)) }
	passes := []func() error{
		func() error { return base.pass(o.limit(), wanted, l.base) },
		func() error { return l.pass(o.limit(), wanted, l.times) },
	}
	if !baseFirst {
		slices.Reverse(passes)
	}
	runtime.GC() // here, and not among the batches
	for _, pass := range passes {
		if err := pass(); err != nil {
			return err
		}
	}
	return nil
}

// pass puts the filter in place and sends each kind of traffic through it for a while.
func (l *lane) pass(limit time.Duration, wanted func(*traffic) bool, times map[string][]float64) error {
	return l.filter.with(l.bed, func() error {
		for _, t := range l.bed.traffics {
			if !wanted(t) {
				continue
			}
			ns, err := l.once(t, limit)
			if err != nil {
				return err
			}
			times[t.name] = append(times[t.name], ns)
		}
		return nil
	})
}

// once measures one kind of traffic, in the namespace of the sender, and makes sure that it was what it should be.
func (l *lane) once(t *traffic, limit time.Duration) (ns float64, err error) {
	before, err := l.look()
	if err != nil {
		return 0, err
	}
	var batches int
	err = l.bed.inside(sender, func() (err error) {
		ns, batches, err = t.run(limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	return ns, l.proven(t, before, uint64(batches*t.packets))
}

// seen is what pods have received, and what a filter has let pass by policy in each direction.
type seen struct{ received, decided [2]uint64 }

func (l *lane) look() (s seen, err error) {
	if s.received, err = l.bed.received(); err == nil && l.filter.decided != nil {
		s.decided, err = l.filter.decided()
	}
	return s, err
}

// proven waits until the packets have arrived, which they usually have, and checks that the filter has judged each of
// them in both directions, and that nothing came back that should not have.
func (l *lane) proven(t *traffic, before seen, sent uint64) error {
	return eventually(func() error {
		now, err := l.look()
		if err != nil {
			return err
		}
		return t.judge(before, now, sent, l.filter.decided != nil)
	})
}

// eventually asks until there is no error, for as long as an answer may take.
func eventually(judge func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience*time.Millisecond)
	defer cancel()
	return retry.Until(ctx, time.Millisecond, func(error) bool { return true }, judge)
}

// judge compares what was seen before and after so many packets.
func (t *traffic) judge(before, now seen, sent uint64, decides bool) error {
	var errs []error
	if n := now.received[receiver] - before.received[receiver]; n < sent {
		errs = append(errs, fmt.Errorf("%s: %d of %d packets arrived", t.name, n, sent))
	}
	if n := now.received[sender] - before.received[sender]; t.oneWay && n > sent/10 {
		errs = append(errs, fmt.Errorf("%s: %d packets came back for %d", t.name, n, sent))
	}
	for dir := range now.decided {
		if n := now.decided[dir] - before.decided[dir]; decides && n < sent {
			errs = append(errs, fmt.Errorf("%s: policy allowed %d of %d packets", t.name, n, sent))
		}
	}
	return errors.Join(errs...)
}

// lineName is what a line of the table is called.
func lineName(traffic, filter string) string { return "veth " + traffic + ": " + filter }

// result compares what was measured with no program beside it.
func (l *lane) result(k trafficKind) figure.Result {
	times, base := l.times[k.name], l.base[k.name]
	return figure.Result{
		Name: lineName(k.name, l.name), Base: figure.Median(base), Time: figure.Median(times),
		Ratio: figure.Median(figure.Ratios(times, base)), Unit: k.unit,
	}
}
