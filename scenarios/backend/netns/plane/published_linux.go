package plane

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// published is what the API server holds of PolicyEndpoints.
type published struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*v1alpha1.PolicyEndpoint
	version uint64        // of the latest change, deletions included
	news    chan struct{} // closed at the next change
}

// follow keeps a published up to date until ctx is done. It returns when everything is known.
func follow(ctx context.Context, client dynamic.Interface) (*published, error) {
	p := &published{objects: map[types.NamespacedName]*v1alpha1.PolicyEndpoint{}, news: make(chan struct{})}
	all := client.Resource(v1alpha1.GroupVersionResource())
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return all.Watch(ctx, o)
		},
	}, &unstructured.Unstructured{}, 0)
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(o, false) },
		UpdateFunc: func(_, o any) { p.see(o, false) },
		DeleteFunc: func(o any) { p.see(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("follow PolicyEndpoints: %w", err)
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil, fmt.Errorf("follow PolicyEndpoints: %w", context.Cause(ctx))
	}
	return p, nil
}

// see notes an object as it is, or was when it was deleted.
func (p *published) see(o any, gone bool) {
	if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = unseen.Obj
	}
	content := o.(*unstructured.Unstructured)
	object := &v1alpha1.PolicyEndpoint{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(content.Object, object) != nil {
		return // the API server keeps to the schema; await would say what is missing
	}
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	p.mu.Lock()
	defer p.mu.Unlock()
	if version, err := strconv.ParseUint(object.ResourceVersion, 10, 64); err == nil {
		p.version = max(p.version, version)
	}
	p.objects[name] = object
	if gone {
		delete(p.objects, name)
	}
	close(p.news)
	p.news = make(chan struct{})
}

// all returns the objects by name.
func (p *published) all() map[types.NamespacedName]*v1alpha1.PolicyEndpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.objects)
}

// await waits until exactly the wanted objects are published and returns the version of the latest change.
func (p *published) await(ctx context.Context, want []*v1alpha1.PolicyEndpoint) (uint64, error) {
	for {
		difference, version, news := p.compare(want)
		if difference == "" {
			return version, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return 0, fmt.Errorf("PolicyEndpoints are not as they should be: %w: %s", context.Cause(ctx), difference)
		}
	}
}

func (p *published) compare(want []*v1alpha1.PolicyEndpoint) (difference string, version uint64, news <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.difference(want), p.version, p.news
}

// difference describes the first object that is not as wanted.
func (p *published) difference(want []*v1alpha1.PolicyEndpoint) string {
	left := maps.Clone(p.objects)
	for _, w := range want {
		name := types.NamespacedName{Namespace: w.Namespace, Name: w.Name}
		if left[name] == nil {
			return fmt.Sprintf("%s is missing", name)
		}
		if want, have := said(w), said(left[name]); !equality.Semantic.DeepEqual(want, have) {
			return fmt.Sprintf("%s is\n%+v, not\n%+v", name, have, want)
		}
		delete(left, name)
	}
	for name := range left {
		return fmt.Sprintf("%s should not be there", name)
	}
	return ""
}

// statement is what a controller of ours says in an object.
type statement struct {
	Annotations map[string]string
	Spec        v1alpha1.PolicyEndpointSpec
}

func said(o *v1alpha1.PolicyEndpoint) *statement {
	own := maps.Clone(o.Annotations)
	maps.DeleteFunc(own, func(k, _ string) bool { return !strings.HasPrefix(k, "palisade.dev/") })
	return &statement{own, o.Spec}
}
