package plane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/model"
)

// mostChunks is into how many objects PublishHosted cuts a policy at most.
const mostChunks = 4

// PublishHosted publishes what a cluster comes to in the way of the controller that EKS hosts, for a plane without
// controllers of ours. Nothing tells which objects belong together or which rule an entry comes from, the API server makes
// up the names, and when a policy changes each of its entries may end up in any of its objects, at any place, while the
// objects are written in any order. It returns the version for Agent.InForce.
func (p *Plane) PublishHosted(ctx context.Context, c *model.Cluster) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, convergence)
	defer cancel()
	resolved, problems := resolve.All(p.snapshot(c), resolve.Options{})
	if err := errors.Join(problems...); err != nil {
		return 0, fmt.Errorf("resolve policies: %w", err)
	}
	want, have := byPolicy(resolved), byPolicy(slices.Collect(maps.Values(p.published.all())))
	var writes []func() error
	for _, policy := range slices.SortedFunc(maps.Keys(union(want, have)), compareNames) {
		if !maps.Equal(statements(want[policy]), statements(have[policy])) {
			writes = append(writes, p.replace(ctx, have[policy], p.scatter(want[policy]))...)
		}
	}
	p.random.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
	for _, write := range writes {
		if err := write(); err != nil {
			return 0, fmt.Errorf("publish as EKS does: %w", err)
		}
	}
	return p.published.await(ctx, saysOnly(resolved))
}

// byPolicy groups objects by what they refer to.
func byPolicy(all []*v1alpha1.PolicyEndpoint) map[types.NamespacedName][]*v1alpha1.PolicyEndpoint {
	out := map[types.NamespacedName][]*v1alpha1.PolicyEndpoint{}
	for _, o := range all {
		policy := types.NamespacedName{Namespace: o.Namespace, Name: o.Spec.PolicyRef.Name}
		out[policy] = append(out[policy], o)
	}
	for _, objects := range out {
		slices.SortFunc(objects, func(a, b *v1alpha1.PolicyEndpoint) int { return compareNames(name(a), name(b)) })
	}
	return out
}

func name(o *v1alpha1.PolicyEndpoint) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}

// union holds the keys of both maps.
func union[K comparable, V any](a, b map[K]V) map[K]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// statements are what the objects of one policy say together, and that there are any.
func statements(objects []*v1alpha1.PolicyEndpoint) map[string]bool {
	out := map[string]bool{}
	for _, o := range objects {
		out[fmt.Sprint("of ", o.Spec.PolicyRef, o.Spec.PodIsolation)] = true
		for _, e := range o.Spec.PodSelectorEndpoints {
			out["pod "+asJSON(e)] = true
		}
		for _, e := range o.Spec.Ingress {
			out["ingress "+asJSON(e)] = true
		}
		for _, e := range o.Spec.Egress {
			out["egress "+asJSON(e)] = true
		}
	}
	return out
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what came from an object of the API is JSON
	}
	return string(text)
}

// saysOnly describes a policy of which not exactly what is wanted is said.
func saysOnly(want []*v1alpha1.PolicyEndpoint) func(map[types.NamespacedName]*v1alpha1.PolicyEndpoint) string {
	wanted := byPolicy(want)
	return func(all map[types.NamespacedName]*v1alpha1.PolicyEndpoint) string {
		have := byPolicy(slices.Collect(maps.Values(all)))
		for policy := range union(wanted, have) {
			if want, have := statements(wanted[policy]), statements(have[policy]); !maps.Equal(want, have) {
				return fmt.Sprintf("of %s is said\n%v, not\n%v", policy, have, want)
			}
		}
		return ""
	}
}

// scatter says what the objects of a policy say in other objects, of which there are none if there were none.
func (p *Plane) scatter(objects []*v1alpha1.PolicyEndpoint) []*v1alpha1.PolicyEndpoint {
	if len(objects) == 0 {
		return nil
	}
	parts := make([]*v1alpha1.PolicyEndpoint, 1+p.random.IntN(mostChunks))
	for i := range parts {
		parts[i] = &v1alpha1.PolicyEndpoint{TypeMeta: objects[0].TypeMeta, ObjectMeta: metav1.ObjectMeta{
			Namespace: objects[0].Namespace, GenerateName: objects[0].Spec.PolicyRef.Name + "-",
		}}
		if name, ok := objects[0].Annotations[v1alpha1.PolicyAnnotation]; ok { // denials are attributed to it
			parts[i].Annotations = map[string]string{v1alpha1.PolicyAnnotation: name}
		}
		of := objects[0].Spec
		parts[i].Spec = v1alpha1.PolicyEndpointSpec{
			PodSelector: of.PodSelector, PolicyRef: of.PolicyRef, PodIsolation: of.PodIsolation,
		}
	}
	anyPart := func() *v1alpha1.PolicyEndpointSpec { return &parts[p.random.IntN(len(parts))].Spec }
	for _, o := range objects {
		for _, e := range o.Spec.PodSelectorEndpoints {
			to := anyPart()
			to.PodSelectorEndpoints = insert(p.random, to.PodSelectorEndpoints, e)
		}
		for _, e := range o.Spec.Ingress {
			to := anyPart()
			to.Ingress = insert(p.random, to.Ingress, e)
		}
		for _, e := range o.Spec.Egress {
			to := anyPart()
			to.Egress = insert(p.random, to.Egress, e)
		}
	}
	return parts
}

// insert puts a value at any place of a list.
func insert[T any](random *rand.Rand, list []T, v T) []T {
	return slices.Insert(list, random.IntN(len(list)+1), v)
}

// replace are the requests that let old objects say what new ones do: the first of them are updated, and the rest is
// created or deleted.
func (p *Plane) replace(ctx context.Context, old, new []*v1alpha1.PolicyEndpoint) []func() error {
	var writes []func() error
	for i, o := range new {
		var former *v1alpha1.PolicyEndpoint
		if i < len(old) {
			former = old[i]
			o.Name, o.GenerateName = former.Name, former.GenerateName
		}
		writes = append(writes, func() error { return p.putChunk(ctx, o, former) })
	}
	for _, o := range old[min(len(old), len(new)):] {
		writes = append(writes, func() error { return p.deleteChunk(ctx, name(o)) })
	}
	return writes
}
