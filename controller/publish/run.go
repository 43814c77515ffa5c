package publish

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/palisade-netpol/palisade/controller/core"
)

// Run publishes until ctx is done, and then returns nil; the Lease is released by then. Any other end is an error.
func Run(ctx context.Context, o Options) error {
	r, err := newRunner(o.withDefaults())
	if err != nil {
		return err
	}
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(r.log.Handler())) // what client-go says
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.serve(ctx) })
	group.Go(func() error { return r.follow(ctx) })
	group.Go(func() error { return r.lead(ctx) })
	return group.Wait()
}

// runner is one replica.
type runner struct {
	options Options
	log     *slog.Logger
	clients clients
	metrics *metrics
	synced  chan struct{} // closed when all objects that there were have been seen

	mu    sync.Mutex
	core  *core.Core
	queue queue // of the term of leadership; nil before the first, and then the core puts nothing in
	// waiting is since when there has been news of a policy that is still to be published.
	waiting map[types.NamespacedName]time.Time
}

func newRunner(o Options) (*runner, error) {
	clients, err := newClients(o.Config, o.Lease.RenewDeadline)
	if err != nil {
		return nil, fmt.Errorf("clients: %w", err)
	}
	r := &runner{
		options: o,
		log:     o.Log,
		clients: clients,
		synced:  make(chan struct{}),
		core:    core.New(o.Resolve),
		waiting: map[types.NamespacedName]time.Time{},
	}
	r.metrics = newMetrics(func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(r.core.SelectorsAsked())
	})
	return r, nil
}

// feed lets the core take in what happened and returns what is to be done by others than the queue.
func (r *runner) feed(in core.Input) []core.Effect {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest []core.Effect
	for _, e := range r.core.Step(in) {
		q, ok := e.(core.Queue)
		if !ok || q.Retry {
			rest = append(rest, e)
			continue
		}
		if r.waiting[q.Policy].IsZero() {
			r.waiting[q.Policy] = now
		}
		r.queue.Add(q.Policy)
	}
	return rest
}

// take returns since when policy has been waiting, zero if it has not, and lets it wait no longer.
func (r *runner) take(policy types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.waiting[policy]
	delete(r.waiting, policy)
	return since
}

// keepWaiting undoes take for a policy that could not be published.
func (r *runner) keepWaiting(policy types.NamespacedName, since time.Time) {
	if since.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.waiting[policy]; now.IsZero() || since.Before(now) {
		r.waiting[policy] = since
	}
}
