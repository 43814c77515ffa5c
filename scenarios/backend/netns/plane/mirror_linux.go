package plane

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// mirror is what the API server holds of one kind of objects.
type mirror[T metav1.Object] struct {
	blank   func() T
	mu      sync.Mutex
	objects map[types.NamespacedName]T
	version uint64        // of the latest change, deletions included
	news    chan struct{} // closed at the next change
}

// follow keeps a mirror up to date until ctx is done. It returns when everything is known.
func follow[T metav1.Object](
	ctx context.Context, all dynamic.NamespaceableResourceInterface, blank func() T,
) (*mirror[T], error) {
	m := &mirror[T]{blank: blank, objects: map[types.NamespacedName]T{}, news: make(chan struct{})}
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return all.Watch(ctx, o)
		},
	}, &unstructured.Unstructured{}, 0)
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { m.see(o, false) },
		UpdateFunc: func(_, o any) { m.see(o, false) },
		DeleteFunc: func(o any) { m.see(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("follow the API server: %w", err)
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil, fmt.Errorf("follow the API server: %w", context.Cause(ctx))
	}
	return m, nil
}

// see notes an object as it is, or was when it was deleted.
func (m *mirror[T]) see(o any, gone bool) {
	if unseen, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = unseen.Obj
	}
	content := o.(*unstructured.Unstructured)
	object := m.blank()
	if runtime.DefaultUnstructuredConverter.FromUnstructured(content.Object, object) != nil {
		return // the API server keeps to the schema; await would say what is missing
	}
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64); err == nil {
		m.version = max(m.version, version)
	}
	m.objects[name] = object
	if gone {
		delete(m.objects, name)
	}
	close(m.news)
	m.news = make(chan struct{})
}

// all returns the objects by name.
func (m *mirror[T]) all() map[types.NamespacedName]T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.objects)
}

// await waits until lacks finds nothing to say about the objects, and returns the version of the latest change.
func (m *mirror[T]) await(ctx context.Context, lacks func(map[types.NamespacedName]T) string) (uint64, error) {
	for {
		m.mu.Lock()
		lack, version, news := lacks(m.objects), m.version, m.news
		m.mu.Unlock()
		if lack == "" {
			return version, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return 0, fmt.Errorf("the API server does not hold what it should: %w: %s", context.Cause(ctx), lack)
		}
	}
}
