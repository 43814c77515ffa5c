package veth

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

// run is all that one call of Measure makes.
type run struct {
	beds  map[string]*bed // by family of the filters
	base  *lane           // no program
	lanes []*lane         // what was asked for, which may be no program again: that shows how exact the others are
	left  []figure.Left
}

// mostRules of a set of rules in a quick run, and in another one.
func (o Options) mostRules() int {
	if o.Quick {
		return 1000
	}
	return 10000
}

// wants says whether any line of a filter was asked for.
func (o Options) wants(filter string) bool {
	return slices.ContainsFunc(trafficKinds(), func(t trafficKind) bool { return o.Match(lineName(t.name, filter)) })
}

// newRun makes the filters that were asked for, and the beds for them.
func newRun(o Options) (*run, error) {
	b, err := newBed()
	if err != nil {
		return nil, err
	}
	kinds := filterKinds(o.mostRules())
	r := &run{beds: map[string]*bed{kinds[0].family: b}}
	if r.base, err = r.lane(kinds[0]); err != nil {
		return nil, errors.Join(err, r.close())
	}
	for _, k := range kinds {
		if !o.wants(k.name) {
			continue
		}
		if err := r.add(k); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", k.name, err), r.close())
		}
	}
	return r, nil
}

// add makes a filter, or notes that there is no such thing on this machine.
func (r *run) add(k filterKind) error {
	l, err := r.lane(k)
	if err != nil && (k.optional || errors.Is(err, ebpf.ErrNotSupported)) {
		r.left = append(r.left, figure.Left{Name: k.name, Reason: err.Error()})
		return nil
	}
	r.lanes = append(r.lanes, l)
	return err
}

// lane makes a filter and tries it once.
func (r *run) lane(k filterKind) (*lane, error) {
	b, err := r.bed(k.family)
	if err != nil {
		return nil, err
	}
	f, err := k.make(b)
	if err != nil {
		return nil, err
	}
	l := &lane{name: k.name, filter: f, bed: b, times: map[string][]float64{}, base: map[string][]float64{}}
	return l, f.with(b, func() error { return nil })
}

// bed returns that of a family, which is made when it is first needed.
func (r *run) bed(family string) (*bed, error) {
	if b := r.beds[family]; b != nil {
		return b, nil
	}
	b, err := newBed()
	if err == nil {
		r.beds[family] = b
	}
	return b, err
}

func (r *run) close() error {
	var errs []error
	for _, b := range r.beds {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

// results are the lines, by traffic.
func (r *run) results(o Options) []figure.Result {
	var results []figure.Result
	for _, k := range trafficKinds() {
		for _, l := range r.lanes {
			if o.Match(lineName(k.name, l.name)) {
				results = append(results, l.result(k))
			}
		}
	}
	return results
}
