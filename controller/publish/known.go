package publish

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/palisade-netpol/palisade/controller/core"
)

// known is the objects of one resource, trimmed, as a Reflector tells of them. It implements cache.TransformingStore and
// tells on what changes.
type known struct {
	tell   func(core.Input)
	number prometheus.Gauge
	listed chan struct{} // closed when all objects that there were have been told

	mu      sync.Mutex
	objects map[types.NamespacedName]metav1.Object
	version string // of the API server, up to which objects are as they were there; "" before there is any
}

var _ cache.TransformingStore = &known{}

func newKnown(number prometheus.Gauge, tell func(core.Input)) *known {
	return &known{
		tell: tell, number: number, listed: make(chan struct{}), objects: map[types.NamespacedName]metav1.Object{},
	}
}

// Add implements cache.ReflectorStore.
func (k *known) Add(obj any) error { return k.Update(obj) }

// Update implements cache.ReflectorStore.
func (k *known) Update(obj any) error {
	o, err := asObject(obj)
	if err != nil {
		return err
	}
	k.change(o.GetResourceVersion(), func() { k.objects[keyOf(o)] = o })
	k.tell(core.Seen{Object: o})
	return nil
}

// Delete implements cache.ReflectorStore.
func (k *known) Delete(obj any) error {
	o, err := asObject(obj)
	if err != nil {
		return err
	}
	k.change(o.GetResourceVersion(), func() { delete(k.objects, keyOf(o)) })
	k.tell(core.Gone{Object: o})
	return nil
}

// Replace implements cache.ReflectorStore: a watch was cut, and these are the objects now.
func (k *known) Replace(list []any, version string) error {
	now := make(map[types.NamespacedName]metav1.Object, len(list))
	for _, obj := range list {
		o, err := asObject(obj)
		if err != nil {
			return err
		}
		now[keyOf(o)] = o
	}
	before := k.objects // which only the Reflector changes, that is waiting for us
	k.change(version, func() { k.objects = now })
	for _, key := range slices.SortedFunc(maps.Keys(before), compareKeys) {
		if now[key] == nil {
			k.tell(core.Gone{Object: before[key]})
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(now), compareKeys) {
		if old := before[key]; old == nil || old.GetResourceVersion() != now[key].GetResourceVersion() {
			k.tell(core.Seen{Object: now[key]})
		}
	}
	if k.first() {
		close(k.listed)
	}
	return nil
}

// first reports whether not all objects have been told yet.
func (k *known) first() bool {
	select {
	case <-k.listed:
		return false
	default:
		return true
	}
}

// Bookmark implements cache.ReflectorBookmarkStore.
func (k *known) Bookmark(version string) error {
	k.change(version, func() {})
	return nil
}

// Resync implements cache.ReflectorStore.
func (*known) Resync() error { return nil }

// Transformer implements cache.TransformingStore: a long list is trimmed while it arrives.
func (*known) Transformer() cache.TransformFunc { return trim }

// change notes that objects are as at a version of the API server.
func (k *known) change(version string, f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
	k.version = version
	k.number.Set(float64(len(k.objects)))
}

// reviewed lists the objects for core: what is not listed although it is not newer was deleted.
func (k *known) reviewed() core.Reviewed {
	k.mu.Lock()
	defer k.mu.Unlock()
	in := core.Reviewed{UpTo: k.version, Chunks: make(map[types.NamespacedName]bool, len(k.objects))}
	for key := range k.objects {
		in.Chunks[key] = true
	}
	return in
}

func asObject(obj any) (metav1.Object, error) {
	obj, err := trim(obj)
	if err != nil {
		return nil, err
	}
	o, ok := obj.(metav1.Object)
	if !ok {
		return nil, fmt.Errorf("the API server sent a %T", obj)
	}
	return o, nil
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
