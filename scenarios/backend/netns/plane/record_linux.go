package plane

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
)

// kind is a kind of objects that Write writes.
type kind struct {
	name     string
	resource schema.GroupVersionResource
}

// kinds are in the order in which they are created. They are deleted in the opposite order.
var kinds = []kind{
	{"Namespace", corev1.SchemeGroupVersion.WithResource("namespaces")},
	{"Node", corev1.SchemeGroupVersion.WithResource("nodes")},
	{"Service", corev1.SchemeGroupVersion.WithResource("services")},
	{"EndpointSlice", discoveryv1.SchemeGroupVersion.WithResource("endpointslices")},
	{"Pod", corev1.SchemeGroupVersion.WithResource("pods")},
	{"NetworkPolicy", networkingv1.SchemeGroupVersion.WithResource("networkpolicies")},
}

// key names an object.
type key struct{ kind, namespace, name string }

func (k key) String() string { return k.kind + " " + k.namespace + "/" + k.name }

// record is an object as it is to be written, or was.
type record struct {
	key
	uid      string         // as the caller tells instances apart
	given    types.UID      // as the API server does, once it is written
	fixed    string         // a digest of what cannot change while it lives
	main     map[string]any // without status
	status   map[string]any // nil if there is none to write
	dying    bool           // it is being deleted and still there
	mainSum  string
	otherSum string
}

// replaces reports whether r is another object than old, of the same name.
func (r *record) replaces(old *record) bool {
	return r.uid != old.uid || r.fixed != old.fixed || old.dying && !r.dying
}

// object is what all kinds have in common.
type object interface {
	metav1.Object
	runtime.Object
}

// records lists the objects of a cluster that are to be written. The EndpointSlices of Services with a selector are
// written by kube-controller-manager.
func records(c *model.Cluster) (map[key]*record, error) {
	families := familiesOf(c)
	all := map[key]*record{}
	var err error
	add := func(kind string, o object) {
		r, bad := newRecord(kind, o)
		if bad != nil && err == nil {
			err = fmt.Errorf("%s %s/%s: %w", kind, o.GetNamespace(), o.GetName(), bad)
			return
		}
		all[r.key] = r
	}
	for _, o := range c.Namespaces {
		add("Namespace", o)
	}
	for _, o := range c.Nodes {
		add("Node", o)
	}
	for _, o := range c.Services {
		add("Service", withFamilies(o, families))
	}
	for _, o := range c.EndpointSlices {
		if !managed(o) {
			add("EndpointSlice", o)
		}
	}
	for _, o := range c.Pods {
		add("Pod", o)
	}
	for _, o := range c.Policies {
		add("NetworkPolicy", o)
	}
	return all, err
}

// managed reports whether kube-controller-manager writes a slice.
func managed(s *discoveryv1.EndpointSlice) bool {
	return s.Labels[discoveryv1.LabelManagedBy] == "endpointslice-controller.k8s.io"
}

func newRecord(kind string, o object) (*record, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	r := &record{key: key{kind, o.GetNamespace(), o.GetName()}, uid: string(o.GetUID()), main: content}
	r.dying = o.GetDeletionTimestamp() != nil
	if kind == "Pod" || kind == "Node" {
		r.status, _ = content["status"].(map[string]any)
		r.fixed = digest(content["spec"])
	}
	if s, ok := o.(*corev1.Service); ok {
		r.fixed = digest([]any{s.Spec.Type, s.Spec.ClusterIPs})
	}
	delete(content, "status")
	content["metadata"] = metadata(o)
	content["kind"] = kind
	content["apiVersion"] = versionOf(kind)
	r.mainSum, r.otherSum = digest(r.main), digest(r.status)
	return r, nil
}

func versionOf(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.resource.GroupVersion().String()
		}
	}
	return ""
}

// metadata keeps what users write.
func metadata(o metav1.Object) map[string]any {
	m := map[string]any{"name": o.GetName()}
	if o.GetNamespace() != "" {
		m["namespace"] = o.GetNamespace()
	}
	for name, values := range map[string]map[string]string{"labels": o.GetLabels(), "annotations": o.GetAnnotations()} {
		if len(values) == 0 {
			continue
		}
		copied := map[string]any{}
		for k, v := range values {
			copied[k] = v
		}
		m[name] = copied
	}
	return m
}

func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what came from an object of the API is JSON
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
