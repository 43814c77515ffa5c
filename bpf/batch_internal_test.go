package bpf

import (
	"errors"
	"maps"
	"testing"

	"github.com/cilium/ebpf"
)

// TestEntriesAreToldAsDone: whatever the kernel can do with a batch, each entry that it took is told once, and none that it did not.
func TestEntriesAreToldAsDone(t *testing.T) {
	const count = 3*batchSize + 100
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		most       int // that a batch does before it stops
		stops      error
		counts     bool // the number that comes with the error is that of entries done
		fails      int  // the entry that cannot be done at all, from 1 on
		manyAtMost int  // calls
	}{
		"all":                                    {most: batchSize, manyAtMost: 4},
		"none, since not supported":              {stops: ebpf.ErrNotSupported, manyAtMost: 1},
		"some at a time":                         {most: 1000, stops: broken, counts: true, manyAtMost: 20},
		"none, of which the kernel says nothing": {stops: broken, manyAtMost: count},
		"all but one":                            {most: 1000, stops: broken, counts: true, fails: 5000, manyAtMost: 20},
		"all but one, one by one":                {stops: ebpf.ErrNotSupported, fails: 5000, manyAtMost: 1},
	} {
		t.Run(name, func(t *testing.T) {
			kernel, told, calls := map[int]uint32{}, map[int]uint32{}, 0
			e := entries[int, int]{
				many: func(keys []int, classes []uint32) (int, error) {
					calls++
					for i := range keys {
						if i == c.most || keys[i] == c.fails {
							if !c.counts {
								i = len(keys) // it stays what was asked for
							}
							return i, c.stops
						}
						kernel[keys[i]] = classes[i]
					}
					return len(keys), nil
				},
				one: func(key int, class uint32) error {
					if key == c.fails {
						return broken
					}
					kernel[key] = class
					return nil
				},
				done: func(a int, class uint32) {
					if _, again := told[-a]; again {
						t.Errorf("%d is told twice", a)
					}
					told[-a] = class
				},
			}
			var err error
			for i := 1; i <= count && err == nil; i++ {
				err = e.add(-i, i, uint32(i))
			}
			if err == nil {
				err = e.flush()
			}
			if want := c.fails > 0; errors.Is(err, broken) != want || !want && err != nil {
				t.Fatalf("error %v, want one: %t", err, want)
			}
			if c.fails == 0 && len(kernel) != count {
				t.Errorf("%d entries are done, want %d", len(kernel), count)
			}
			if !maps.Equal(kernel, told) {
				t.Errorf("%d entries are done and %d told", len(kernel), len(told))
			}
			if c.fails > 0 && len(kernel) < c.fails-1 {
				t.Errorf("%d entries are done before number %d fails", len(kernel), c.fails)
			}
			if calls > c.manyAtMost {
				t.Errorf("%d batches, want %d at most", calls, c.manyAtMost)
			}
		})
	}
}
