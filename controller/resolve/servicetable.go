package resolve

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// serviceTable keeps the frontends of all Services and finds them by what decides whether a policy opens them.
type serviceTable struct {
	services  map[types.NamespacedName]*serviceState
	sliceOf   map[types.NamespacedName]types.NamespacedName // the Service that a slice belongs to
	claims    map[frontendKey]map[types.NamespacedName]*frontend
	frontends map[frontendKey]*frontend
	byFirst   map[netip.Addr]map[*frontend]bool // by the address of the first backend
	ordered   []*frontend                       // all, sorted; nil where it has to be made again
}

// serviceState is a Service and its EndpointSlices, whichever came first.
type serviceState struct {
	addrs  []netip.Addr // ClusterIPs
	ports  []corev1.ServicePort
	slices map[string]endpoints // by name
	claims map[frontendKey]*frontend
}

func newServiceTable() *serviceTable {
	return &serviceTable{
		services:  map[types.NamespacedName]*serviceState{},
		sliceOf:   map[types.NamespacedName]types.NamespacedName{},
		claims:    map[frontendKey]map[types.NamespacedName]*frontend{},
		frontends: map[frontendKey]*frontend{},
		byFirst:   map[netip.Addr]map[*frontend]bool{},
	}
}

// SetService takes in a new Service or a changed one and returns the policies that this touches. The error names
// addresses that are ignored.
func (x *Index) SetService(o *corev1.Service) ([]types.NamespacedName, error) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	addrs, err := clusterIPs(o)
	if err != nil {
		err = fmt.Errorf("service %s/%s: %w", o.Namespace, o.Name, err)
	}
	s := x.services.service(key)
	s.addrs, s.ports = addrs, o.Spec.Ports
	return x.claim(key), err
}

// DeleteService forgets a Service and returns the policies that this touches.
func (x *Index) DeleteService(key types.NamespacedName) []types.NamespacedName {
	s := x.services.service(key)
	s.addrs, s.ports = nil, nil
	return x.claim(key)
}

// SetEndpointSlice takes in a new EndpointSlice or a changed one and returns the policies that this touches. The error
// names addresses that are ignored.
func (x *Index) SetEndpointSlice(o *discoveryv1.EndpointSlice) ([]types.NamespacedName, error) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	owner := types.NamespacedName{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
	var touched []types.NamespacedName
	if x.services.sliceOf[key] != owner {
		touched = x.DeleteEndpointSlice(key)
	}
	if owner.Name == "" {
		return touched, nil
	}
	e, err := endpointsOf(o)
	x.services.sliceOf[key] = owner
	s := x.services.service(owner)
	x.departed.list(key, s.slices[o.Name], e)
	s.slices[o.Name] = e
	return union(touched, x.claim(owner)), err
}

// DeleteEndpointSlice forgets an EndpointSlice and returns the policies that this touches.
func (x *Index) DeleteEndpointSlice(key types.NamespacedName) []types.NamespacedName {
	owner, known := x.services.sliceOf[key]
	if !known {
		return nil
	}
	delete(x.services.sliceOf, key)
	s := x.services.service(owner)
	x.departed.list(key, s.slices[key.Name], endpoints{})
	delete(s.slices, key.Name)
	return x.claim(owner)
}

// claim brings the frontends of a Service up to date and returns the policies that this touches.
func (x *Index) claim(service types.NamespacedName) []types.NamespacedName {
	return x.touchedBy(x.services.claim(service, x.hasLeft))
}

// union merges two sorted lists.
func union(a, b []types.NamespacedName) []types.NamespacedName {
	merged := slices.Concat(a, b)
	slices.SortFunc(merged, compareKeys)
	return slices.Compact(merged)
}

// touchedBy returns the policies that may open or close other ClusterIPs than before. A policy opens a frontend only if
// it allows every backend, so it is among those that may allow the first one; and it closes a frontend only in a block
// around its address.
func (x *Index) touchedBy(changed []*frontend) []types.NamespacedName {
	touched := touchedSet{}
	for _, f := range changed {
		x.blocks.touch(touched, f.addr)
		first := f.backends[0].Addr()
		x.blocks.touch(touched, first)
		for _, p := range x.byAddr[first] {
			for _, s := range p.selections {
				for key, policy := range s.users {
					touched[key] = touched[key] || policy.hasEgressPeer(s)
				}
			}
		}
	}
	maps.DeleteFunc(touched, func(_ types.NamespacedName, is bool) bool { return !is })
	return touched.sorted()
}

func (t *serviceTable) service(key types.NamespacedName) *serviceState {
	if t.services[key] == nil {
		t.services[key] = &serviceState{slices: map[string]endpoints{}}
	}
	return t.services[key]
}

// claim brings the frontends up to date with the Service called key and returns those that changed, as they were and
// as they are. Endpoints that have left are no backends.
func (t *serviceTable) claim(key types.NamespacedName, left func(endpoint) bool) []*frontend {
	s := t.services[key]
	now := s.frontends(left)
	var changed []*frontend
	for k := range s.claims {
		if now[k] == nil {
			changed = append(changed, t.setClaim(k, key, nil)...)
		}
	}
	for k, f := range now {
		if old := s.claims[k]; old == nil || !slices.Equal(old.backends, f.backends) {
			changed = append(changed, t.setClaim(k, key, f)...)
		}
	}
	s.claims = now
	if len(s.addrs) == 0 && len(s.slices) == 0 {
		delete(t.services, key)
	}
	return changed
}

// frontends lists those that lead somewhere. EndpointSlices decide where, never selectors.
func (s *serviceState) frontends(left func(endpoint) bool) map[frontendKey]*frontend {
	var all, staying []endpoints
	for _, e := range s.slices {
		all = append(all, e)
		staying = append(staying, e.without(left))
	}
	found := map[frontendKey]*frontend{}
	for _, a := range s.addrs {
		for _, f := range frontendsAt(a, s.ports, all, staying) {
			if other := found[f.frontendKey]; other != nil {
				f.backends = sortedBackends(append(f.backends, other.backends...))
			}
			found[f.frontendKey] = f
		}
	}
	return found
}

// setClaim makes one frontend of those that several Services claim, which happens for a moment when an address is
// reused: a packet may end up at the backends of any. It returns the frontend as it was and as it is.
func (t *serviceTable) setClaim(k frontendKey, by types.NamespacedName, f *frontend) []*frontend {
	if t.claims[k] == nil {
		t.claims[k] = map[types.NamespacedName]*frontend{}
	}
	t.claims[k][by] = f
	if f == nil {
		delete(t.claims[k], by)
	}
	merged := &frontend{frontendKey: k}
	for _, c := range t.claims[k] {
		merged.backends = append(merged.backends, c.backends...)
	}
	merged.backends = sortedBackends(merged.backends)
	if len(t.claims[k]) == 0 {
		delete(t.claims, k)
	}
	return t.replace(t.frontends[k], merged)
}

// replace puts now in the place of before, either of which may be missing, and returns what there is of them.
func (t *serviceTable) replace(before, now *frontend) []*frontend {
	t.ordered = nil
	var changed []*frontend
	if before != nil {
		first := before.backends[0].Addr()
		delete(t.frontends, before.frontendKey)
		delete(t.byFirst[first], before)
		if len(t.byFirst[first]) == 0 {
			delete(t.byFirst, first)
		}
		changed = append(changed, before)
	}
	if len(now.backends) > 0 {
		first := now.backends[0].Addr()
		t.frontends[now.frontendKey] = now
		if t.byFirst[first] == nil {
			t.byFirst[first] = map[*frontend]bool{}
		}
		t.byFirst[first][now] = true
		changed = append(changed, now)
	}
	return changed
}

// sorted returns all frontends by address, protocol and port.
func (t *serviceTable) sorted() []*frontend {
	if t.ordered == nil {
		t.ordered = slices.SortedFunc(maps.Values(t.frontends), compareFrontends)
	}
	return t.ordered
}

// behind returns the frontends, sorted, whose first backend is at one of addrs.
func (t *serviceTable) behind(addrs map[netip.Addr][]int) []*frontend {
	var found []*frontend
	for a := range addrs {
		for f := range t.byFirst[a] {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, compareFrontends)
	return found
}
