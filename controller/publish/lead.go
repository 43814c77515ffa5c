package publish

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/palisade-netpol/palisade/controller/core"
)

// lead publishes whenever this replica is elected, until ctx is done.
func (r *runner) lead(ctx context.Context) error {
	select {
	case <-r.synced:
	case <-ctx.Done():
		return nil
	}
	for ctx.Err() == nil {
		if err := r.serveTerm(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serveTerm waits to be elected and publishes until ctx is done or the Lease could not be renewed. The Lease is released
// only when nothing is written any more.
func (r *runner) serveTerm(ctx context.Context) error {
	election, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	elected := make(chan context.Context, 1)
	elector, err := r.elector(func(leading context.Context) { elected <- leading })
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	over := inBackground(func() { elector.Run(election) })
	select {
	case leading := <-elected:
		r.publish(ctx, leading)
	case <-ctx.Done():
	}
	giveUp()
	<-over
	if ctx.Err() == nil {
		r.log.Warn("leadership lost; standing for election again", "identity", r.options.Identity)
	}
	return nil
}

// publish works off the queue until one of the contexts is done.
func (r *runner) publish(ctx, leading context.Context) {
	r.log.Info("leading", "identity", r.options.Identity)
	r.metrics.leading.Set(1)
	defer r.metrics.leading.Set(0)
	queue := r.openQueue()
	r.feed(core.Start{})
	var workers sync.WaitGroup
	for range r.options.Workers {
		workers.Go(func() { r.work(leading, queue) })
	}
	select {
	case <-ctx.Done():
	case <-leading.Done():
	}
	r.feed(core.Stop{})
	queue.ShutDown()
	workers.Wait()
}

// openQueue returns the queue of a term. One that was shut down takes nothing in any more, and what waited in it may have
// been published by another leader since.
func (r *runner) openQueue() queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = newQueue(r.metrics)
	clear(r.waiting)
	return r.queue
}

func (r *runner) elector(onElected func(context.Context)) (*leaderelection.LeaderElector, error) {
	return leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: LeaseName,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: r.options.Namespace, Name: LeaseName},
			Client:     r.clients.leases.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: r.options.Identity},
		},
		LeaseDuration:   r.options.Lease.Duration,
		RenewDeadline:   r.options.Lease.RenewDeadline,
		RetryPeriod:     r.options.Lease.RetryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: onElected,
			OnStoppedLeading: func() {},
			OnNewLeader:      func(identity string) { r.log.Info("leader elected", "leader", identity) },
		},
	})
}
