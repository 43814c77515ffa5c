package plane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/model"
)

// PublishShuffled publishes, in place of the controllers, what a cluster comes to: in chunks as small as they can be, written
// and deleted in a random order, which a controller of ours would never do. It returns the version for Agent.InForce.
func (p *Plane) PublishShuffled(ctx context.Context, c *model.Cluster, random *rand.Rand) (uint64, error) {
	want, problems := resolve.All(p.snapshot(c), resolve.Options{ChunkSize: 1})
	if err := errors.Join(problems...); err != nil {
		return 0, err
	}
	writes := p.chunkWrites(ctx, want)
	random.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
	for _, write := range writes {
		if err := write(); err != nil {
			return 0, fmt.Errorf("publish a chunk: %w", err)
		}
	}
	return p.published.await(ctx, lacks(want))
}

// chunkWrites are the requests that turn what is published into what is wanted.
func (p *Plane) chunkWrites(ctx context.Context, want []*v1alpha1.PolicyEndpoint) []func() error {
	left := p.published.all()
	var writes []func() error
	for _, w := range want {
		name := types.NamespacedName{Namespace: w.Namespace, Name: w.Name}
		old := left[name]
		delete(left, name)
		writes = append(writes, func() error { return p.putChunk(ctx, w, old) })
	}
	for _, name := range slices.SortedFunc(maps.Keys(left), compareNames) {
		writes = append(writes, func() error { return p.deleteChunk(ctx, name) })
	}
	return writes
}

func (p *Plane) deleteChunk(ctx context.Context, name types.NamespacedName) error {
	client := p.dynamic.Resource(v1alpha1.GroupVersionResource()).Namespace(name.Namespace)
	return client.Delete(ctx, name.Name, metav1.DeleteOptions{})
}

func compareNames(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }

// putChunk creates an object or replaces an old one. It has no owner, which would be one of another cluster.
func (p *Plane) putChunk(ctx context.Context, w, old *v1alpha1.PolicyEndpoint) error {
	w = w.DeepCopy()
	w.OwnerReferences = nil
	if old != nil {
		w.ResourceVersion, w.UID = old.ResourceVersion, old.UID
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w)
	if err != nil {
		return err
	}
	client := p.dynamic.Resource(v1alpha1.GroupVersionResource()).Namespace(w.Namespace)
	if old == nil {
		_, err = client.Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	} else {
		_, err = client.Update(ctx, &unstructured.Unstructured{Object: content}, metav1.UpdateOptions{})
	}
	return err
}
