package publish

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/palisade-netpol/palisade/controller/core"
)

// queue is the policies that are due, each once.
type queue = workqueue.TypedRateLimitingInterface[types.NamespacedName]

// Pauses between attempts at a policy that cannot be written double from the first to the last.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func newQueue(m *metrics) queue {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry),
		workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "policies", MetricsProvider: m.queue},
	)
}

// work publishes one policy after another until the queue is shut down.
func (r *runner) work(ctx context.Context, q queue) {
	for {
		policy, shutdown := q.Get()
		if shutdown {
			return
		}
		r.reconcile(ctx, q, policy)
		q.Done(policy)
	}
}

// reconcile makes what is published of a policy what it should be, or sees to it that it is tried again.
func (r *runner) reconcile(ctx context.Context, q queue, policy types.NamespacedName) {
	start := time.Now()
	since := r.take(policy)
	effects := r.feed(core.Due{Policy: policy})
	resolved := time.Now()
	published, again := r.writeAll(ctx, effects)
	if published && !since.IsZero() {
		r.metrics.published.Observe(time.Since(since).Seconds())
	}
	for _, e := range append(effects, again...) {
		switch e := e.(type) {
		case core.Warn:
			r.warn(e)
		case core.Tell:
			again = append(again, r.feed(core.Told{Tell: e, OK: r.tell(ctx, e)})...)
		}
	}
	r.metrics.resolve.Observe(resolved.Sub(start).Seconds())
	r.metrics.reconcile.Observe(time.Since(start).Seconds())
	if len(again) == 0 {
		q.Forget(policy)
		return
	}
	r.keepWaiting(policy, since)
	q.AddRateLimited(policy)
}

// parallel bounds the requests for one policy that are under way at once.
const parallel = 8

// writeAll executes the writes among effects, one phase after another, until one fails. It reports whether there were
// any and all are done, and returns what the core made of the results.
func (r *runner) writeAll(ctx context.Context, effects []core.Effect) (published bool, again []core.Effect) {
	var phases [][]core.Write
	for _, e := range effects {
		w, ok := e.(core.Write)
		if !ok {
			continue
		}
		if last := len(phases) - 1; last >= 0 && phases[last][0].Phase == w.Phase {
			phases[last] = append(phases[last], w)
		} else {
			phases = append(phases, []core.Write{w})
		}
	}
	for _, phase := range phases {
		ok, news := r.writePhase(ctx, phase)
		again = append(again, news...)
		if !ok {
			return false, again
		}
	}
	return len(phases) > 0, again
}

// writePhase executes writes side by side, and reports whether all are done: the core, once stopped, does not tell.
func (r *runner) writePhase(ctx context.Context, writes []core.Write) (ok bool, again []core.Effect) {
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, parallel)
	ok = true
	for _, w := range writes {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			wrote := r.write(ctx, w)
			effects := r.feed(wrote)
			mu.Lock()
			defer mu.Unlock()
			ok = ok && wrote.OK()
			again = append(again, effects...)
		})
	}
	group.Wait()
	return ok, again
}

// quiet reports whether err only says that this process is about to end.
func quiet(err error) bool { return errors.Is(err, context.Canceled) }
