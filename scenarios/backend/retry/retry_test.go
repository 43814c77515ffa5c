package retry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/backend/retry"
)

var errBusy, errWrong = errors.New("busy"), errors.New("wrong")

func passes(err error) bool { return errors.Is(err, errBusy) }

func TestUntil(t *testing.T) {
	ended := errors.New("the test is over")
	over, end := context.WithCancelCause(t.Context())
	end(ended)
	for name, c := range map[string]struct {
		ctx   context.Context
		fails []error // then it succeeds
		want  []error
		calls int
	}{
		"success at once":         {ctx: t.Context(), calls: 1},
		"success after a while":   {ctx: t.Context(), fails: []error{errBusy, errBusy}, calls: 3},
		"an error that stays":     {ctx: t.Context(), fails: []error{errBusy, errWrong}, want: []error{errWrong}, calls: 2},
		"the time is over":        {ctx: over, fails: []error{errBusy, errBusy}, want: []error{ended, errBusy}, calls: 1},
		"success in the last try": {ctx: over, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := retry.Until(c.ctx, time.Millisecond, passes, func() error {
				if calls++; calls <= len(c.fails) {
					return c.fails[calls-1]
				}
				return nil
			})
			if calls != c.calls || (err == nil) != (len(c.want) == 0) {
				t.Errorf("%d calls, error %v; want %d and %v", calls, err, c.calls, c.want)
			}
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
		})
	}
}
