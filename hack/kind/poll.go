package kind

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// pollInterval is how often it is asked whether something has come true.
const pollInterval = 250 * time.Millisecond

// poll asks until check has nothing to object to. When that takes too long, its last objection is the error.
func poll(ctx context.Context, timeout time.Duration, check func(context.Context) error) error {
	var objection error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, func(ctx context.Context) (bool, error) {
		err := check(ctx)
		if ctx.Err() == nil { // else the question was cut short
			objection = err
		}
		return err == nil, nil
	})
	if err != nil {
		return errors.Join(objection, err)
	}
	return nil
}
