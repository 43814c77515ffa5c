package matrix

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// share runs work(worker, n) for every n below total on the given number of workers and returns the first error.
// It stops early when ctx ends.
func share(ctx context.Context, total, workers int, work func(worker, n int) error) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for worker := range workers {
		group.Go(func() error {
			for n := int(next.Add(1)) - 1; n < total; n = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := work(worker, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
