package publish

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
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

// backoff says how long to wait before an API server is asked again that has broken off. There are few replicas, so it need
// not be long; what they know is out of date meanwhile.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 5, Cap: time.Second}
}

// follow feeds the core all objects until ctx is done. It closes r.synced when the core has seen what there was.
func (r *runner) follow(ctx context.Context) error {
	var running, listed []<-chan struct{}
	for _, s := range r.sources() {
		k := newKnown(r.metrics.objects.WithLabelValues(s.resource), func(in core.Input) { r.warnAll(r.feed(in)) })
		reflector := cache.NewReflectorWithOptions(
			cache.NewListWatchFromClient(s.client, s.resource, metav1.NamespaceAll, fields.Everything()), s.example, k,
			cache.ReflectorOptions{Name: s.resource, Backoff: backoff()},
		)
		listed = append(listed, k.listed)
		running = append(running, inBackground(func() { reflector.RunWithContext(ctx) }))
		if s.resource == v1alpha1.Resource {
			running = append(running, inBackground(func() { r.review(ctx, k) }))
		}
	}
	if allDone(ctx, listed) {
		r.log.Info("all objects seen")
		close(r.synced)
	}
	for _, done := range running {
		<-done
	}
	return nil
}

// allDone waits until all channels are closed, or reports false when ctx is done.
func allDone(ctx context.Context, all []<-chan struct{}) bool {
	for _, done := range all {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// reviewPeriod is how long an object of ours can be missing without anybody noticing, at worst. See core.Reviewed.
const reviewPeriod = 30 * time.Second

// review compares from time to time what the core believes with what the watch knows.
func (r *runner) review(ctx context.Context, k *known) {
	ticker := time.NewTicker(reviewPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.feed(k.reviewed())
		case <-ctx.Done():
			return
		}
	}
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

// warnAll logs the warnings among effects; what is seen causes no other ones.
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
