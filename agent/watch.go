package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// backoff says how long to wait before an API server is asked again that has broken off: at first hardly, so that one cut
// costs nothing, and never longer than a second and a half, since all that time the node enforces what is old. A Reflector
// starts from the beginning only every two minutes, so a higher bound would hold back a node whose connection is cut again
// and again although each answer is good.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 5, Cap: time.Second}
}

// newReflector returns what lists and watches the PolicyEndpoints of all namespaces, again and again when the
// connection breaks, and gives them to a sink. Questions that fail are counted.
func newReflector(cfg *rest.Config, s *sink, m *metrics.Metrics, log *slog.Logger) (*cache.Reflector, error) {
	client, err := endpointClient(cfg)
	if err != nil {
		return nil, err
	}
	lw := &asker{cache.NewListWatchFromClient(client, v1alpha1.Resource, "", fields.Everything()), s.tell, m, log, false}
	logger := logr.FromSlogHandler(log.Handler())
	return cache.NewReflectorWithOptions(lw, &v1alpha1.PolicyEndpoint{}, s, cache.ReflectorOptions{
		Name:    "policyendpoints",
		Logger:  &logger,
		Backoff: backoff(),
	}), nil
}

// endpointClient speaks to the API server about PolicyEndpoints, and about nothing else.
func endpointClient(cfg *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	gv := v1alpha1.GroupVersion()
	cfg.GroupVersion, cfg.APIPath = &gv, "/apis"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return client, nil
}

// asker asks the API server, and tells how that ended: a Reflector says nothing while nobody answers it.
type asker struct {
	*cache.ListWatch
	tell    func(core.Input)
	metrics *metrics.Metrics
	log     *slog.Logger
	failing bool // the last question had no answer
}

// ListWithContext implements cache.ListerWithContext.
func (a *asker) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := a.ListWatch.ListWithContext(ctx, o)
	a.ended(ctx, err)
	return list, err
}

// WatchWithContext implements cache.WatcherWithContext.
func (a *asker) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := a.ListWatch.WatchWithContext(ctx, o)
	a.ended(ctx, err)
	return w, err
}

func (a *asker) ended(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if isAnswer(err) {
		err = nil
	}
	if err != nil {
		a.metrics.Failed("watch-api")
	}
	if err != nil && !a.failing {
		a.log.Warn("cannot read PolicyEndpoints from the API server, which is asked again and again", "error", err)
	}
	a.failing = err != nil
	a.tell(core.Asked{Err: err})
}

// isAnswer says whether a Reflector has to ask otherwise, and need not wait: it asked for what is too old, or for a
// list as a stream, which the API server does not know.
func isAnswer(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err)
}

// sink is where a Reflector puts what it receives: it keeps nothing, and passes on what the node needs of it.
type sink struct {
	node []netip.Addr
	tell func(core.Input)
}

func (s *sink) strip(obj any) (*v1alpha1.PolicyEndpoint, error) {
	pe, ok := obj.(*v1alpha1.PolicyEndpoint)
	if !ok {
		return nil, fmt.Errorf("the API server sent a %T", obj)
	}
	return core.Strip(pe, s.node), nil
}

// Add implements cache.ReflectorStore.
func (s *sink) Add(obj any) error { return s.Update(obj) }

// Update implements cache.ReflectorStore.
func (s *sink) Update(obj any) error {
	pe, err := s.strip(obj)
	if err == nil {
		s.tell(core.Changed{Object: pe})
	}
	return err
}

// Delete implements cache.ReflectorStore.
func (s *sink) Delete(obj any) error {
	pe, err := s.strip(obj)
	if err == nil {
		s.tell(core.Deleted{Name: core.Name{Namespace: pe.Namespace, Name: pe.Name}, Version: pe.ResourceVersion})
	}
	return err
}

// Replace implements cache.ReflectorStore.
func (s *sink) Replace(list []any, version string) error {
	all := core.Listed{Objects: make([]*v1alpha1.PolicyEndpoint, len(list)), Version: version}
	for i, obj := range list {
		var err error
		if all.Objects[i], err = s.strip(obj); err != nil {
			return err
		}
	}
	s.tell(all)
	return nil
}

// Resync implements cache.ReflectorStore.
func (*sink) Resync() error { return nil }

// Transformer implements cache.TransformingStore: a long list is stripped while it arrives.
func (s *sink) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.strip(obj) }
}
