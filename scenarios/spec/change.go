package spec

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// find returns the object a step speaks of, having said what is wrong where there is none.
func (w *world) find(kind, namespace, name string, at *strict.Node) (manifest.Object, bool) {
	key := manifest.Key{Kind: kind, Namespace: namespace, Name: name}
	if namespace == "" && !manifest.ClusterScoped(kind) {
		key.Namespace = metav1.NamespaceDefault
	}
	o, ok := w.objects[key]
	if !ok {
		w.fail(at, "there is no %s at this step", key)
	}
	return o, ok
}

// delete takes everything along that cannot live without the object: what is in a namespace, the pods of a node.
func (w *world) delete(r *Reference) {
	if r.Kind == "Namespace" && w.deleteNamespace(r.Name) {
		return
	}
	o, ok := w.find(r.Kind, r.Namespace, r.Name, r.Node())
	if !ok {
		return
	}
	delete(w.objects, o.Key)
	if r.Kind == "Node" {
		maps.DeleteFunc(w.objects, func(_ manifest.Key, o manifest.Object) bool {
			pod, ok := o.Value.(*corev1.Pod)
			return ok && pod.Spec.NodeName == r.Name
		})
	}
}

// deleteNamespace reports whether there was anything of the namespace. It need not have been given as an object.
func (w *world) deleteNamespace(name string) bool {
	before := len(w.objects)
	maps.DeleteFunc(w.objects, func(k manifest.Key, _ manifest.Object) bool {
		return k.Namespace == name || k == manifest.Key{Kind: "Namespace", Name: name}
	})
	return len(w.objects) < before
}

func (w *world) label(r *Relabel) {
	if r.Kind != "Pod" && r.Kind != "Namespace" {
		w.fail(r.Node().At("kind"), "labels of a Pod or of a Namespace can be changed, not of a %q", r.Kind)
		return
	}
	if len(r.Labels) == 0 {
		w.fail(r.Node().At("labels"), "labels is missing: which labels change?")
		return
	}
	o, ok := w.labelled(r)
	if !ok {
		return
	}
	o.Value = o.Value.DeepCopyObject().(manifest.KubeObject)
	labels := maps.Clone(o.Value.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	for key, value := range r.Labels {
		delete(labels, key)
		if value != nil {
			labels[key] = *value
		}
	}
	o.Value.SetLabels(labels)
	manifest.SetDefaults(o.Value)
	o.Node = r.Node()
	for _, err := range manifest.Validate(o) {
		w.fail(r.Node().At("labels"), "%s", err.Msg)
	}
	w.set(o)
}

// labelled finds the object of r. A namespace that exists only because something lives in it becomes an object now.
func (w *world) labelled(r *Relabel) (manifest.Object, bool) {
	key := manifest.Key{Kind: r.Kind, Name: r.Name}
	if _, given := w.objects[key]; r.Kind == "Namespace" && !given && w.inhabited(r.Name) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Name}}
		ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		w.births[key]++
		ns.UID = w.uid(key)
		return manifest.Object{Value: ns, Node: r.Node(), Key: key}, true
	}
	return w.find(r.Kind, r.Namespace, r.Name, r.Node())
}

func (w *world) inhabited(namespace string) bool {
	for key := range w.objects {
		if key.Namespace == namespace {
			return true
		}
	}
	return false
}
