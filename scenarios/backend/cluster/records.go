package cluster

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model"
)

// The kinds of objects that are written.
const (
	kindNamespace = "Namespace"
	kindService   = "Service"
	kindSlice     = "EndpointSlice"
	kindPod       = "Pod"
	kindPolicy    = "NetworkPolicy"
)

// key names a real object.
type key struct{ kind, namespace, name string }

func (k key) String() string { return k.kind + " " + k.namespace + "/" + k.name }

// record is an object as it is to be written, or was.
type record struct {
	key
	object metav1.Object
	uid    types.UID   // the scenario's
	sum    string      // digest of what may change
	pod    *corev1.Pod // the scenario's, of a pod
	// later is set while it speaks of addresses that are not known yet.
	later bool
}

// records lists what is to be written.
func (s *session) records(c *model.Cluster) map[key]*record {
	all := map[key]*record{}
	for _, ns := range c.Namespaces {
		add(all, kindNamespace, ns.UID, s.namespaceOf(ns), nil)
	}
	for _, svc := range c.Services {
		add(all, kindService, svc.UID, s.serviceOf(svc), nil)
	}
	for _, p := range c.Pods {
		add(all, kindPod, p.UID, s.podOf(p), p)
	}
	for _, e := range writtenByHand(c.EndpointSlices) {
		add(all, kindSlice, e.UID, s.sliceOf(e, nil), nil).later = true
	}
	for _, p := range c.Policies {
		add(all, kindPolicy, p.UID, policyIn(p, s.names.namespace), nil).later = hasBlocks(p)
	}
	return all
}

// addressed completes the records by what speaks of addresses.
func (s *session) addressed(c *model.Cluster, known addresses, all map[key]*record) {
	for _, e := range writtenByHand(c.EndpointSlices) {
		add(all, kindSlice, e.UID, s.sliceOf(e, known), nil)
	}
	for _, p := range c.Policies {
		if hasBlocks(p) {
			real := policyIn(p, s.names.namespace)
			known.policy(real)
			add(all, kindPolicy, p.UID, real, nil)
		}
	}
}

func add(all map[key]*record, kind string, uid types.UID, o metav1.Object, pod *corev1.Pod) *record {
	r := newRecord(kind, uid, o, pod)
	all[r.key] = r
	return r
}

func newRecord(kind string, uid types.UID, o metav1.Object, pod *corev1.Pod) *record {
	clean(o)
	r := &record{key: key{kind, o.GetNamespace(), o.GetName()}, object: o, uid: uid, pod: pod}
	state := []any{o}
	if pod != nil {
		state = append(state, pod.Status.Phase, pod.DeletionTimestamp != nil)
	}
	r.sum = digest(state)
	return r
}

// digest is of something that came from an object of the API.
func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// clean leaves out what only the API server writes.
func clean(o metav1.Object) {
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
}

// replaces reports whether r is another object than old: one of the same name, or a pod that lives again. A namespace
// that was there because somebody lived in it, and is an object from now on, is the same.
func (r *record) replaces(old *record) bool {
	if r.kind == kindNamespace && old.uid == "" {
		return false
	}
	dying := old.pod != nil && old.pod.DeletionTimestamp != nil
	return r.uid != old.uid || dying && r.pod.DeletionTimestamp == nil
}
