package core

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
)

// Core is the state. Everything in it can be rebuilt by Seen of all objects. It must not be used from several
// goroutines at once.
type Core struct {
	options resolve.Options
	index   *resolve.Index
	chunks  *chunkStore
	active  bool
	// departed has the UIDs of policies that were seen to go while objects of theirs remain.
	departed map[types.NamespacedName]map[types.UID]bool
	told     map[types.NamespacedName]map[Tell]bool // what was said of each policy when it was last resolved
	foreign  map[types.NamespacedName]string        // the objects of others that were last warned of
}

// New returns a Core that has seen nothing.
func New(o resolve.Options) *Core {
	return &Core{
		options:  o,
		index:    resolve.New(),
		chunks:   newChunkStore(),
		departed: map[types.NamespacedName]map[types.UID]bool{},
		told:     map[types.NamespacedName]map[Tell]bool{},
		foreign:  map[types.NamespacedName]string{},
	}
}

// SelectorsAsked returns how many selectors have been compared with the labels of an object: the work that events
// cause.
func (c *Core) SelectorsAsked() uint64 { return c.index.SelectorsAsked() }

// Step takes in what happened and returns what to do, in order.
func (c *Core) Step(in Input) []Effect {
	switch in := in.(type) {
	case Seen:
		return c.seen(in.Object)
	case Gone:
		return c.queue(c.gone(in.Object))
	case Reviewed:
		return c.queue(c.pruned(c.chunks.review(in)))
	case Start:
		c.active = true
		return c.queue(c.all())
	case Stop:
		c.active = false
	case Due:
		return c.due(in.Policy)
	case Wrote:
		return c.wrote(in)
	case Told:
		return c.toldBack(in)
	}
	return nil
}

// seen updates what is known of an object.
func (c *Core) seen(object any) []Effect {
	var touched []types.NamespacedName
	var err error
	switch o := object.(type) {
	case *corev1.Namespace:
		touched = c.index.SetNamespace(o)
	case *corev1.Pod:
		touched, err = c.index.SetPod(o)
	case *corev1.Service:
		touched, err = c.index.SetService(o)
	case *discoveryv1.EndpointSlice:
		touched, err = c.index.SetEndpointSlice(o)
	case *networkingv1.NetworkPolicy:
		touched = c.seenPolicy(o)
	case *v1alpha1.PolicyEndpoint:
		touched = c.pruned(c.chunks.set(o))
	}
	effects := c.queue(touched)
	if err != nil {
		effects = append(effects, Warn{Object: describe(object), Err: err})
	}
	return effects
}

// seenPolicy notices also that a policy took the name of another that went unseen.
func (c *Core) seenPolicy(o *networkingv1.NetworkPolicy) []types.NamespacedName {
	key := keyOf(o)
	if before := c.index.KnownPolicy(key); before != nil && before.UID != o.UID {
		c.depart(key, before.UID)
	}
	delete(c.departed[key], o.UID) // a watch that was cut may tell of it again
	return c.index.SetPolicy(o)
}

// gone forgets an object and returns the policies that this touches.
func (c *Core) gone(object any) []types.NamespacedName {
	switch o := object.(type) {
	case *corev1.Namespace:
		return c.index.DeleteNamespace(o.Name)
	case *corev1.Pod:
		return c.index.DeletePod(keyOf(o))
	case *corev1.Service:
		return c.index.DeleteService(keyOf(o))
	case *discoveryv1.EndpointSlice:
		return c.index.DeleteEndpointSlice(keyOf(o))
	case *networkingv1.NetworkPolicy:
		c.depart(keyOf(o), o.UID)
		return c.index.DeletePolicy(keyOf(o))
	case *v1alpha1.PolicyEndpoint:
		return c.pruned(c.chunks.delete(o))
	}
	return nil
}

// depart remembers that the policy with that UID is no more, if it left something.
func (c *Core) depart(key types.NamespacedName, uid types.UID) {
	if !c.left(key, uid) {
		return
	}
	if c.departed[key] == nil {
		c.departed[key] = map[types.UID]bool{}
	}
	c.departed[key][uid] = true
}

// left reports whether there are objects under key of the policy with that UID, or some that may have been.
func (c *Core) left(key types.NamespacedName, uid types.UID) bool {
	return slices.ContainsFunc(c.chunks.of(key), func(o *v1alpha1.PolicyEndpoint) bool {
		return ownedBy(o, uid) || orphaned(o)
	})
}

// pruned forgets policies that departed and of which nothing is left, among those of touched, and returns touched.
func (c *Core) pruned(touched []types.NamespacedName) []types.NamespacedName {
	for _, key := range touched {
		maps.DeleteFunc(c.departed[key], func(uid types.UID, _ bool) bool { return !c.left(key, uid) })
		if len(c.departed[key]) == 0 {
			delete(c.departed, key)
		}
	}
	return touched
}

// all returns the policies there are and those that have objects left.
func (c *Core) all() []types.NamespacedName {
	all := c.chunks.policies()
	for _, key := range c.index.Policies() {
		all[key] = true
	}
	return slices.SortedFunc(maps.Keys(all), compareKeys)
}

// queue asks for a Due of each policy, if this Core is to publish.
func (c *Core) queue(policies []types.NamespacedName) []Effect {
	if !c.active {
		return nil
	}
	var effects []Effect
	for _, key := range policies {
		effects = append(effects, Queue{Policy: key})
	}
	return effects
}

// wrote takes over the result of a write, so that the next Due builds on it although the watch may lag behind.
func (c *Core) wrote(in Wrote) []Effect {
	switch {
	case in.Outcome == Failed:
		return c.retry(in.Write.Policy)
	case in.Write.Verb == Delete: // also if somebody else was faster
		return c.deleted(in.Write)
	case in.Outcome == Missing:
		c.chunks.bury(in.Write.Object)
		return c.retry(in.Write.Policy)
	default:
		c.pruned(c.chunks.set(in.Object))
		return c.late(in.Object)
	}
}

// late notices that a policy went while an object of it was written.
func (c *Core) late(o *v1alpha1.PolicyEndpoint) []Effect {
	key, owner, np := policyOf(o), policyOwner(o), c.index.KnownPolicy(policyOf(o))
	if owner == nil || np != nil && np.UID == owner.UID {
		return nil
	}
	c.depart(key, owner.UID)
	return c.queue([]types.NamespacedName{key})
}

// retry asks for another Due of a policy after a pause.
func (c *Core) retry(key types.NamespacedName) []Effect {
	if !c.active {
		return nil
	}
	return []Effect{Queue{Policy: key, Retry: true}}
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// describe names an object for people.
func describe(object any) string {
	switch o := object.(type) {
	case *corev1.Pod:
		return "pod " + keyOf(o).String()
	case *corev1.Service:
		return "service " + keyOf(o).String()
	case *discoveryv1.EndpointSlice:
		return "endpointslice " + keyOf(o).String()
	}
	return "object"
}
