package resolve

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// departures knows the pods that have ended or gone. EndpointSlices list such a pod a moment longer, and its address is
// one that no selector allows any more: counted as a backend, it would close the ClusterIP in every rollout. A pod that
// was never seen is none of them, since it may be about to run.
type departures struct {
	pods   map[types.UID]*departedPod
	byAddr map[netip.Addr]map[types.UID]bool // of pods
	ended  map[types.NamespacedName]types.UID
	slices map[types.UID]map[types.NamespacedName]bool // the EndpointSlices that list a pod, departed or not
}

// departedPod is remembered while its object is there, and after that while an EndpointSlice lists it.
type departedPod struct {
	addrs []netip.Addr
	there bool
}

func newDepartures() departures {
	return departures{
		pods:   map[types.UID]*departedPod{},
		byAddr: map[netip.Addr]map[types.UID]bool{},
		ended:  map[types.NamespacedName]types.UID{},
		slices: map[types.UID]map[types.NamespacedName]bool{},
	}
}

func (d *departures) add(uid types.UID, addrs []netip.Addr, there bool) {
	d.remove(uid)
	if uid == "" || !there && len(d.slices[uid]) == 0 {
		return
	}
	d.pods[uid] = &departedPod{addrs, there}
	for _, a := range addrs {
		putIn(d.byAddr, a, uid)
	}
}

func (d *departures) remove(uid types.UID) {
	p := d.pods[uid]
	if p == nil {
		return
	}
	delete(d.pods, uid)
	for _, a := range p.addrs {
		takeOut(d.byAddr, a, uid)
	}
}

// list notes that an EndpointSlice lists other pods than before, and forgets those that nothing lists any more.
func (d *departures) list(slice types.NamespacedName, before, now endpoints) {
	for _, e := range before.list {
		takeOut(d.slices, e.pod, slice)
	}
	for _, e := range now.list {
		if e.pod != "" {
			putIn(d.slices, e.pod, slice)
		}
	}
	for _, e := range before.list {
		if p := d.pods[e.pod]; p != nil && !p.there && len(d.slices[e.pod]) == 0 {
			d.remove(e.pod)
		}
	}
}

// note takes in that the pod called key is now o, nil for none, and was before, nil if policies did not see it. It
// returns those that departed or came back.
func (d *departures) note(key types.NamespacedName, before *pod, o *corev1.Pod) []types.UID {
	var changed []types.UID
	if before != nil && (o == nil || before.uid != o.UID) {
		d.add(before.uid, before.addrs, false)
		changed = append(changed, before.uid)
	}
	if old := d.ended[key]; old != "" && (o == nil || old != o.UID) {
		delete(d.ended, key)
		if p := d.pods[old]; p != nil {
			d.add(old, p.addrs, false)
		}
	}
	if o != nil && d.noteEnd(key, o) {
		changed = append(changed, o.UID)
	}
	return changed
}

// noteEnd notes whether o has ended, and reports whether that changed. An address of the host network stays in use.
func (d *departures) noteEnd(key types.NamespacedName, o *corev1.Pod) bool {
	addrs, _ := podAddrs(&o.Status)
	if !hasEnded(o) || o.Spec.HostNetwork {
		addrs = nil
	}
	before := d.pods[o.UID]
	if before == nil && len(addrs) == 0 || before != nil && before.there && slices.Equal(before.addrs, addrs) {
		return false
	}
	d.remove(o.UID)
	delete(d.ended, key)
	if len(addrs) > 0 && o.UID != "" {
		d.add(o.UID, addrs, true)
		d.ended[key] = o.UID
	}
	return true
}

// hasLeft reports whether e is a pod that departed from its address, where nobody else is known to be.
func (x *Index) hasLeft(e endpoint) bool {
	p := x.departed.pods[e.pod]
	return p != nil && slices.Contains(p.addrs, e.addr) && len(x.byAddr[e.addr]) == 0 && x.hosts[e.addr.String()] == 0
}

// reclaim looks again at the Services whose EndpointSlices list one of uids, or a departed pod at one of addrs, and
// returns the policies that this touches.
func (x *Index) reclaim(uids []types.UID, addrs []netip.Addr) []types.NamespacedName {
	due := map[types.NamespacedName]bool{}
	look := func(uid types.UID) {
		for slice := range x.departed.slices[uid] {
			due[x.services.sliceOf[slice]] = true
		}
	}
	for _, uid := range uids {
		look(uid)
	}
	for _, a := range addrs {
		for uid := range x.departed.byAddr[a] {
			look(uid)
		}
	}
	var touched []types.NamespacedName
	for service := range due {
		touched = union(touched, x.claim(service))
	}
	return touched
}

// putIn and takeOut keep sets under keys, but no empty ones.
func putIn[K, V comparable](m map[K]map[V]bool, key K, v V) {
	if m[key] == nil {
		m[key] = map[V]bool{}
	}
	m[key][v] = true
}

func takeOut[K, V comparable](m map[K]map[V]bool, key K, v V) {
	delete(m[key], v)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}
