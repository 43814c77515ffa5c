package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Object is one object of the API and the place where it was read.
type Object struct {
	Value KubeObject   // a *corev1.Pod and so on: of the kinds that are read
	Node  *strict.Node // where it was read
	Key   Key
}

// KubeObject is what all objects of the API have in common.
type KubeObject interface {
	metav1.Object
	runtime.Object
}

// Key tells objects of one cluster apart.
type Key struct {
	Kind      string // as in the API, for example "Pod"
	Namespace string // empty for Namespaces and Nodes
	Name      string
}

// String returns for example "Pod shop/web" or "Node node-a".
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

const readKinds = "Namespaces, Pods, Services, Nodes, NetworkPolicies and EndpointSlices"

// supported lists the groups and versions of the kinds that are read.
func supported() map[string]string {
	return map[string]string{
		"Namespace": "v1", "Node": "v1", "Pod": "v1", "Service": "v1",
		"NetworkPolicy": "networking.k8s.io/v1", "EndpointSlice": "discovery.k8s.io/v1",
	}
}

func newObject(kind string) KubeObject {
	switch kind {
	case "Namespace":
		return &corev1.Namespace{}
	case "Node":
		return &corev1.Node{}
	case "Pod":
		return &corev1.Pod{}
	case "Service":
		return &corev1.Service{}
	case "NetworkPolicy":
		return &networkingv1.NetworkPolicy{}
	}
	return &discoveryv1.EndpointSlice{}
}

// ClusterScoped reports whether objects of kind live outside namespaces.
func ClusterScoped(kind string) bool { return kind == "Namespace" || kind == "Node" }

// Decode reads one document: an object, or a list of objects (kind List, PodList, …). Objects of other kinds are left
// out and named in skipped.
func Decode(doc *strict.Node) (objects []Object, skipped, errs Errors) {
	return decode(doc, strict.Node{})
}

// decode takes the type of an item of a typed list from the list where the item does not say it itself.
func decode(n *strict.Node, inherited strict.Node) (objects []Object, skipped, errs Errors) {
	if n.Kind != strict.Map {
		return nil, nil, Errors{n.Errorf("a Kubernetes object must be a mapping, not %s", n.Kind)}
	}
	apiVersion, errs := typeField(n, "apiVersion", inherited)
	kind, more := typeField(n, "kind", inherited)
	if errs = append(errs, more...); len(errs) > 0 {
		return nil, nil, errs
	}
	if item, ok := strings.CutSuffix(kind, "List"); ok && (item == "" || n.Get("items") != nil) {
		return decodeList(n, apiVersion, item)
	}
	want, ok := supported()[kind]
	if !ok || group(apiVersion) != group(want) && !wasGroup(kind, apiVersion) {
		return nil, Errors{n.Errorf("%s %s%s is not read, only %s are", apiVersion, kind, nameIn(n), readKinds)}, nil
	}
	if apiVersion != want {
		at := n.At("apiVersion")
		return nil, nil, Errors{at.Errorf("apiVersion %s of %s is not read, only %s", apiVersion, kind, want)}
	}
	return decodeKnown(n, kind)
}

// nameIn returns the name of an object of any kind with a space before it, or nothing.
func nameIn(n *strict.Node) string {
	if name := n.At("metadata.name"); name.Kind == strict.String {
		return " " + name.Text
	}
	return ""
}

// typeField returns apiVersion or kind, from inherited where the object itself has none.
func typeField(n *strict.Node, field string, inherited strict.Node) (string, Errors) {
	v := n.Get(field)
	if v == nil {
		v = inherited.Get(field)
	}
	switch {
	case v == nil || v.Kind == strict.Null || v.Text == "" && v.Kind == strict.String:
		return "", Errors{n.Errorf("%s is missing: this is no Kubernetes object", field)}
	case v.Kind != strict.String:
		return "", Errors{v.Errorf("%s must be a string, not %s", field, v.Kind)}
	}
	return v.Text, nil
}

// decodeList reads the items of a List; item is the kind of the items of a typed list, else empty.
func decodeList(n *strict.Node, apiVersion, item string) (objects []Object, skipped, errs Errors) {
	items := n.Get("items")
	if items == nil {
		return nil, nil, Errors{n.Errorf("items is missing: a List without objects")}
	}
	if items.Kind != strict.List && items.Kind != strict.Null {
		return nil, nil, Errors{items.Errorf("items must be a list, not %s", items.Kind)}
	}
	inherited := strict.Node{Kind: strict.Map}
	if item != "" {
		inherited.Fields = []*strict.Field{stringField("apiVersion", apiVersion), stringField("kind", item)}
	}
	for _, i := range items.Items {
		some, also, bad := decode(i, inherited)
		objects, skipped, errs = append(objects, some...), append(skipped, also...), append(errs, bad...)
	}
	return objects, skipped, errs
}

func stringField(key, value string) *strict.Field {
	return &strict.Field{
		Key:   &strict.Node{Kind: strict.String, Text: key},
		Value: &strict.Node{Kind: strict.String, Text: value},
	}
}

func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g
}

// wasGroup reports whether kind lived in the API group extensions once: a policy of that group must not be skipped.
func wasGroup(kind, apiVersion string) bool {
	return kind == "NetworkPolicy" && group(apiVersion) == "extensions"
}

func decodeKnown(n *strict.Node, kind string) ([]Object, Errors, Errors) {
	o := Object{Value: newObject(kind), Node: n}
	errs := strict.Decode(n, o.Value)
	if o.Value.GetName() == "" && len(errs) == 0 {
		errs = Errors{n.At("metadata").Errorf("metadata.name is missing: the %s needs a name", kind)}
	}
	if len(errs) > 0 {
		return nil, nil, errs
	}
	if !ClusterScoped(kind) && o.Value.GetNamespace() == "" {
		o.Value.SetNamespace(metav1.NamespaceDefault)
	}
	SetDefaults(o.Value)
	o.Key = Key{Kind: kind, Namespace: o.Value.GetNamespace(), Name: o.Value.GetName()}
	return []Object{o}, nil, Validate(o)
}
