package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Errors of Warn.
var (
	// ErrForeign says that another controller publishes the policy too. The mixture is no complete set: our agents keep
	// what they had, and others apply all of it.
	ErrForeign = errors.New("another controller publishes this policy too, so agents follow no change of it; " +
		"run only one, and delete what it left")
	// ErrTaken says that an object that is not the policy's has the name of one that the policy needs.
	ErrTaken = errors.New("an object that does not belong to this policy is in the way")
)

// due compares what a policy comes to with what is published.
func (c *Core) due(key types.NamespacedName) []Effect {
	if !c.active {
		return nil
	}
	np := c.index.KnownPolicy(key)
	published := c.chunks.of(key)
	effects := asEffects(c.clearUp(key, np, published))
	switch {
	case np == nil:
		delete(c.told, key)
		delete(c.foreign, key)
		return effects
	case len(effects) > 0: // what is deleted may be in the way of what is to come, for which wrote asks
		return effects
	}
	resolution, _ := c.index.Resolve(key, c.options)
	p := plan{policy: np, key: key}
	p.compare(resolution.Endpoints, published)
	effects = asEffects(p.ordered())
	effects = append(effects, c.warnTaken(key, p.taken)...)
	effects = append(effects, c.warnForeign(key, p.foreign)...)
	return append(effects, c.tell(key, tells(np, resolution.Errors, resolution.Hints))...)
}

func asEffects(writes []Write) []Effect {
	var effects []Effect
	for _, w := range writes {
		effects = append(effects, w)
	}
	return effects
}

// warnTaken warns of names that are taken, and tries again later.
func (c *Core) warnTaken(key types.NamespacedName, names []string) []Effect {
	var effects []Effect
	for _, name := range names {
		effects = append(effects, Warn{"policyendpoint " + key.Namespace + "/" + name, fmt.Errorf("%w: %s", ErrTaken, key)})
	}
	if len(names) == 0 {
		return nil
	}
	return append(effects, c.retry(key)...)
}

// clearUp deletes what departed policies left behind, in the order of phases. What is orphaned is left to a policy that
// has taken the name.
func (c *Core) clearUp(
	key types.NamespacedName, np *networkingv1.NetworkPolicy, published []*v1alpha1.PolicyEndpoint,
) []Write {
	p := plan{policy: np, key: key}
	for _, o := range published {
		owner := policyOwner(o)
		ofDeparted := owner != nil && c.departed[key][owner.UID] && marked(o)
		if ofDeparted || np == nil && len(c.departed[key]) > 0 && orphaned(o) {
			p.add(Delete, o, nil, o)
		}
	}
	return p.ordered()
}

// deleted asks for a turn of a policy when the last object is out of its way that departed ones left under its name.
func (c *Core) deleted(w Write) []Effect {
	key, owner, np := w.Policy, policyOwner(w.Object), c.index.KnownPolicy(w.Policy)
	wasInTheWay := np != nil && owner != nil && c.departed[key][owner.UID]
	c.chunks.bury(w.Object)
	c.pruned([]types.NamespacedName{key})
	if !wasInTheWay || len(c.clearUp(key, np, c.chunks.of(key))) > 0 {
		return nil
	}
	return c.queue([]types.NamespacedName{key})
}

// warnForeign warns of objects that another controller published, once as long as they stay the same.
func (c *Core) warnForeign(key types.NamespacedName, names []string) []Effect {
	slices.Sort(names)
	said := strings.Join(names, " ")
	if c.foreign[key] == said {
		return nil
	}
	if said == "" {
		delete(c.foreign, key)
		return nil
	}
	c.foreign[key] = said
	return []Effect{Warn{"networkpolicy " + key.String(), fmt.Errorf("%w: policyendpoints %s", ErrForeign, said)}}
}
