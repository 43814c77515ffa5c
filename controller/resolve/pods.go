package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SetPod takes in a new pod or a changed one, also one that took the name of another, and returns the policies that
// this touches. The error names addresses that are ignored.
func (x *Index) SetPod(o *corev1.Pod) ([]types.NamespacedName, error) {
	known, err := newPod(o)
	if err != nil {
		err = fmt.Errorf("pod %s/%s: %w", o.Namespace, o.Name, err)
	}
	return x.changePod(types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, o, known), err
}

// DeletePod forgets a pod and returns the policies that this touches.
func (x *Index) DeletePod(key types.NamespacedName) []types.NamespacedName {
	return x.changePod(key, nil, nil)
}

// changePod takes in that the pod called key is now o, and known to policies; either may be nil.
func (x *Index) changePod(key types.NamespacedName, o *corev1.Pod, known *pod) []types.NamespacedName {
	before := x.pods[key]
	touched := x.replacePod(key, known)
	departed := x.departed.note(key, before, o)
	return union(touched, x.reclaim(departed, slices.Concat(before.places(), known.places())))
}

// replacePod puts now, which is nil for a pod that policies do not see, in the place of the pod called key.
func (x *Index) replacePod(key types.NamespacedName, now *pod) []types.NamespacedName {
	before := x.pods[key]
	moved := !before.sameAs(now)
	if !moved && (now == nil || maps.Equal(before.labels, now.labels)) {
		return nil
	}
	touched := touchedSet{}
	owners := x.ownersOf(before, now)
	var left, joined []*selection
	if before != nil {
		left = before.selections
		x.removePod(key, before)
	}
	if now != nil {
		x.addPod(key, now)
		joined = now.selections
	}
	for _, s := range left {
		touched.usersOf(s, !slices.Contains(joined, s))
	}
	for _, s := range joined {
		touched.usersOf(s, moved || !slices.Contains(left, s))
	}
	if moved {
		x.touchNamed(touched, before)
		x.touchNamed(touched, now)
		x.touchOwners(touched, owners, x.ownersOf(before, now))
	}
	return touched.sorted()
}

// ownersOf returns whose the addresses of pods are, each of which may be nil.
func (x *Index) ownersOf(pods ...*pod) map[netip.Addr]*pod {
	owners := map[netip.Addr]*pod{}
	for _, p := range pods {
		for _, a := range p.places() {
			owners[a] = x.ownerOf(a)
		}
	}
	return owners
}

// ownerOf returns the pod that has a, nil if none has. Of several it is the newest one: the others are about to go, or
// have gone, and their right to a with them.
func (x *Index) ownerOf(a netip.Addr) *pod {
	if len(x.byAddr[a]) == 0 {
		return nil
	}
	return slices.MaxFunc(x.byAddr[a], compareAges)
}

// compareAges puts the older pod first.
func compareAges(a, b *pod) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name, b.name), cmp.Compare(a.namespace, b.namespace))
}

// touchOwners adds the policies to which it matters that an address came from one pod to another.
func (x *Index) touchOwners(touched touchedSet, before, now map[netip.Addr]*pod) {
	for a, p := range before {
		if p == now[a] {
			continue
		}
		for _, o := range []*pod{p, now[a]} {
			x.touchNamed(touched, o)
			if o == nil {
				continue
			}
			for _, s := range o.selections {
				touched.usersOf(s, true)
			}
		}
	}
}

// touchNamed adds the policies that open a port that p declares on all pods of some ipBlock.
func (x *Index) touchNamed(touched touchedSet, p *pod) {
	if p == nil {
		return
	}
	for name := range p.ports {
		for key := range x.namedInBlock[name] {
			touched[key] = true
		}
	}
}

func (x *Index) addPod(key types.NamespacedName, p *pod) {
	n := x.namespaceOf(p.namespace)
	x.pods[key] = p
	n.pods = insertPod(n.pods, p)
	for i, a := range p.addrs {
		x.byAddr[a] = append(x.byAddr[a], p)
		x.hosts[p.hosts[i]]++
	}
	for name := range p.ports {
		x.declaring[name] = insertPod(x.declaring[name], p)
	}
	if n.own != nil {
		p.selections = n.own.table.matching(p.labels)
	}
	for sc := range n.scopes {
		p.selections = append(p.selections, sc.table.matching(p.labels)...)
	}
	for _, s := range p.selections {
		s.pods = insertPod(s.pods, p)
	}
}

func (x *Index) removePod(key types.NamespacedName, p *pod) {
	for _, s := range p.selections {
		s.pods = deletePod(s.pods, p)
	}
	for name := range p.ports {
		setOrDelete(x.declaring, name, deletePod(x.declaring[name], p))
	}
	for i, a := range p.addrs {
		x.hosts[p.hosts[i]]--
		if x.hosts[p.hosts[i]] == 0 {
			delete(x.hosts, p.hosts[i])
		}
		setOrDelete(x.byAddr, a, slices.DeleteFunc(x.byAddr[a], func(o *pod) bool { return o == p }))
	}
	n := x.namespaces[p.namespace]
	n.pods = deletePod(n.pods, p)
	delete(x.pods, key)
	x.tidy(n)
}

// setOrDelete keeps list under key, but no empty ones.
func setOrDelete[K comparable, V any](m map[K][]V, key K, list []V) {
	if len(list) == 0 {
		delete(m, key)
		return
	}
	m[key] = list
}

func comparePods(a, b *pod) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

// insertPod and deletePod keep a list sorted.
func insertPod(sorted []*pod, p *pod) []*pod {
	at, _ := slices.BinarySearchFunc(sorted, p, comparePods)
	return slices.Insert(sorted, at, p)
}

func deletePod(sorted []*pod, p *pod) []*pod {
	at, found := slices.BinarySearchFunc(sorted, p, comparePods)
	if !found {
		return sorted
	}
	return slices.Delete(sorted, at, at+1)
}
