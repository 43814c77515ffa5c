package veth

import (
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

// traffic is one way to use the path between the pods. Everything is done by one thread.
type traffic struct {
	name    string
	ops     float64 // per batch: packets, connections, whatever the kind counts
	packets int     // that a batch sends from sender to receiver, at least
	oneWay  bool    // nothing comes back
	leaves  bool    // state behind: no round has more than fewBatches

	open   func() error // makes the flow known, before the first batch of a round
	batch  func() error // what is timed
	settle func() error // what is not, after each batch; may be nil
}

// A round ends after its time, but not before it has enough batches for a percentile, and what leaves state behind ends
// before the tables are full of it.
const (
	fewestBatches = 20
	fewBatches    = 1500
	quantile      = 0.1
)

// run sends batches for a while and returns the 10th percentile of what one operation took, in nanoseconds, and how
// many batches there were.
func (t *traffic) run(limit time.Duration) (ns float64, batches int, err error) {
	if err := t.open(); err != nil {
		return 0, 0, fmt.Errorf("%s: open: %w", t.name, err)
	}
	var times []float64
	for end := time.Now().Add(limit); len(times) < fewestBatches || time.Now().Before(end); {
		if t.leaves && len(times) == fewBatches {
			break
		}
		took, err := t.once()
		if err != nil {
			return 0, 0, fmt.Errorf("%s: after %d batches: %w", t.name, len(times), err)
		}
		times = append(times, float64(took))
	}
	return figure.Percentile(times, quantile) / t.ops, len(times), nil
}

func (t *traffic) once() (time.Duration, error) {
	begin := time.Now()
	if err := t.batch(); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if t.settle == nil {
		return took, nil
	}
	return took, t.settle()
}
