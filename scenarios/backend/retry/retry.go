// Package retry repeats what may succeed a moment later.
package retry

import (
	"context"
	"fmt"
	"time"
)

// Until calls f until it succeeds, fails with an error that does not pass, or ctx is done; then the last error is
// reported together with the reason why ctx ended.
func Until(ctx context.Context, every time.Duration, passes func(error) bool, f func() error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
