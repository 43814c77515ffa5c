package publish

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/core"
)

// source is a resource to follow.
type source struct {
	client   cache.Getter
	resource string
	example  runtime.Object
}

func (r *runner) sources() []source {
	kube := r.clients.kube
	return []source{
		{kube.CoreV1().RESTClient(), "namespaces", &corev1.Namespace{}},
		{kube.CoreV1().RESTClient(), "pods", &corev1.Pod{}},
		{kube.CoreV1().RESTClient(), "services", &corev1.Service{}},
		{kube.DiscoveryV1().RESTClient(), "endpointslices", &discoveryv1.EndpointSlice{}},
		{kube.NetworkingV1().RESTClient(), "networkpolicies", &networkingv1.NetworkPolicy{}},
		{r.clients.chunks, v1alpha1.Resource, &v1alpha1.PolicyEndpoint{}},
	}
}

// follow feeds the core all objects until ctx is done. It closes r.synced when the core has seen what there was.
func (r *runner) follow(ctx context.Context) error {
	var running []<-chan struct{}
	var seen []cache.DoneChecker
	for _, s := range r.sources() {
		informer := cache.NewSharedIndexInformer(
			cache.NewListWatchFromClient(s.client, s.resource, metav1.NamespaceAll, fields.Everything()), s.example, 0, nil)
		if err := informer.SetTransform(trim); err != nil {
			return fmt.Errorf("informer of %s: %w", s.resource, err)
		}
		handler, err := informer.AddEventHandler(r.handler(s.resource))
		if err != nil {
			return fmt.Errorf("informer of %s: %w", s.resource, err)
		}
		if s.resource == v1alpha1.Resource {
			running = append(running, inBackground(func() { r.review(ctx, informer.GetStore()) }))
		}
		seen = append(seen, handler.HasSyncedChecker())
		running = append(running, inBackground(func() { informer.RunWithContext(ctx) }))
	}
	if cache.WaitFor(ctx, "", seen...) {
		r.log.Info("all objects seen")
		close(r.synced)
	}
	for _, done := range running {
		<-done
	}
	return nil
}

// reviewPeriod is how long an object of ours can be missing without anybody noticing, at worst. See core.Reviewed.
const reviewPeriod = 30 * time.Second

// review compares from time to time what the core believes with what the watch knows.
func (r *runner) review(ctx context.Context, store cache.Store) {
	ticker := time.NewTicker(reviewPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.feed(reviewed(store))
		case <-ctx.Done():
			return
		}
	}
}

// reviewed reads the version first: what is in the store by then and is not listed has been deleted since.
func reviewed(store cache.Store) core.Reviewed {
	in := core.Reviewed{UpTo: store.LastStoreSyncResourceVersion(), Chunks: map[types.NamespacedName]bool{}}
	for _, key := range store.ListKeys() {
		namespace, name, _ := strings.Cut(key, "/")
		in.Chunks[types.NamespacedName{Namespace: namespace, Name: name}] = true
	}
	return in
}

// inBackground runs f and returns a channel that is closed when it has returned.
func inBackground(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// handler feeds the core what an informer sees.
func (r *runner) handler(resource string) cache.ResourceEventHandler {
	objects := r.metrics.objects.WithLabelValues(resource)
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			objects.Inc()
			r.warnAll(r.feed(core.Seen{Object: o}))
		},
		UpdateFunc: func(_, o any) { r.warnAll(r.feed(core.Seen{Object: o})) },
		DeleteFunc: func(o any) {
			objects.Dec()
			if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unseen.Obj
			}
			r.warnAll(r.feed(core.Gone{Object: o}))
		},
	}
}

// warnAll logs the warnings among effects; handlers cause no other ones.
func (r *runner) warnAll(effects []core.Effect) {
	for _, e := range effects {
		if w, ok := e.(core.Warn); ok {
			r.warn(w)
		}
	}
}

func (r *runner) warn(w core.Warn) {
	r.metrics.warnings.Inc()
	r.log.Warn("object needs attention", "object", w.Object, "err", w.Err)
}
