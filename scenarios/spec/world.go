package spec

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// world is the cluster while the steps are replayed.
type world struct {
	scenario *Scenario
	objects  map[manifest.Key]manifest.Object
	births   map[manifest.Key]int // how often an object of this key was created; part of its UID
	assign   *assigner
	came     []manifest.Key // what this step created or changed, in that order
	errs     strict.Errors
}

func newWorld(s *Scenario) *world {
	w := &world{
		scenario: s,
		objects:  map[manifest.Key]manifest.Object{},
		births:   map[manifest.Key]int{},
		assign:   newAssigner(s),
	}
	initial := s.objects
	if !slices.ContainsFunc(initial, isNode) {
		initial = append(defaultNodes(s), initial...)
	}
	w.refuseTwice(initial)
	w.apply(initial)
	return w
}

// minNodes is how many nodes a scenario has that gives none.
const minNodes = 2

func isNode(o manifest.Object) bool { return o.Key.Kind == "Node" }

// defaultNodes are the nodes of a scenario that gives none: node-a, node-b, and more where it is spread.
func defaultNodes(s *Scenario) []manifest.Object {
	var nodes []manifest.Object
	for i := range max(s.nodes, minNodes) {
		name := fmt.Sprintf("node-%c", 'a'+i)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
		key := manifest.Key{Kind: "Node", Name: name}
		nodes = append(nodes, manifest.Object{Value: node, Node: s.Node(), Key: key})
	}
	return nodes
}

func (w *world) fail(n *strict.Node, format string, args ...any) {
	w.errs = append(w.errs, n.Errorf(format, args...))
}

// take changes the world by one step and returns what it is then.
func (w *world) take(step *Step) (Stage, strict.Errors) {
	before := w.startOf(step)
	for i := range step.Delete {
		w.delete(&step.Delete[i])
	}
	w.refuseTwice(step.applied)
	w.apply(step.applied)
	for i := range step.Label {
		w.label(&step.Label[i])
	}
	for i := range step.Phase {
		w.phase(&step.Phase[i])
	}
	for i, name := range step.Terminate {
		w.terminate(name, step.Node().At(fmt.Sprintf("terminate[%d]", i)))
	}
	for i, name := range step.Restart {
		w.restart(name, step.Node().At(fmt.Sprintf("restart[%d]", i)))
	}
	if len(w.errs) > 0 {
		return Stage{}, w.errs
	}
	cluster, errs := assemble(w.objects)
	stage := Stage{Name: step.Name, Cluster: cluster}
	if len(errs) == 0 {
		stage.Before, errs = w.way(before, step)
	}
	return stage, errs
}

func assemble(objects map[manifest.Key]manifest.Object) (*model.Cluster, strict.Errors) {
	return manifest.Assemble(slices.Collect(maps.Values(objects)))
}

func (w *world) refuseTwice(objects []manifest.Object) {
	lines := map[manifest.Key]int{}
	for _, o := range objects {
		if first := lines[o.Key]; first != 0 {
			w.fail(o.Node, "%s is given twice, first in line %d", o.Key, first)
		}
		lines[o.Key] = o.Node.Line
	}
}

// apply creates or replaces objects, nodes first since pods get their addresses from them.
func (w *world) apply(objects []manifest.Object) {
	for _, nodes := range []bool{true, false} {
		for _, o := range objects {
			if isNode(o) == nodes {
				w.put(o)
			}
		}
	}
}

// put never modifies what the scenario holds: replaying it again must give the same.
func (w *world) put(o manifest.Object) {
	o.Value = o.Value.DeepCopyObject().(manifest.KubeObject)
	if old, ok := w.objects[o.Key]; ok {
		w.keep(o, old)
	} else {
		w.births[o.Key]++
		o.Value.SetUID(w.uid(o.Key))
	}
	if msg := w.assign.assign(o.Value, w.nodes()); msg != "" {
		w.fail(o.Node, "%s: %s", o.Key, msg)
		return
	}
	w.set(o)
}

// set stores an object that is new or has changed.
func (w *world) set(o manifest.Object) {
	w.objects[o.Key] = o
	w.came = append(w.came, o.Key)
}

// uid looks like a UUID and depends on nothing but the scenario's and the object's name and age.
func (w *world) uid(key manifest.Key) types.UID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", w.scenario.Metadata.Name, key, w.births[key]))
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// keep carries over what an update does not change: identity, addresses, the node of a pod.
func (w *world) keep(o, old manifest.Object) {
	o.Value.SetUID(old.Value.GetUID())
	switch v := o.Value.(type) {
	case *corev1.Pod:
		w.keepPod(o, v, old.Value.(*corev1.Pod))
	case *corev1.Service:
		if was := old.Value.(*corev1.Service); v.Spec.ClusterIP == "" && v.Spec.Type == was.Spec.Type {
			v.Spec.ClusterIP, v.Spec.ClusterIPs = was.Spec.ClusterIP, was.Spec.ClusterIPs
			keepNodePorts(v, was)
		}
	case *corev1.Node:
		if was := old.Value.(*corev1.Node); reflect.ValueOf(v.Status).IsZero() {
			v.Spec.PodCIDR, v.Spec.PodCIDRs, v.Status = was.Spec.PodCIDR, was.Spec.PodCIDRs, was.Status
		}
	}
}

// keepNodePorts gives a port its former node port where it is the same port of the Service.
func keepNodePorts(s, was *corev1.Service) {
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		same := func(old corev1.ServicePort) bool { return old.Port == p.Port && old.Protocol == p.Protocol }
		if j := slices.IndexFunc(was.Spec.Ports, same); j >= 0 && p.NodePort == 0 {
			p.NodePort = was.Spec.Ports[j].NodePort
		}
	}
}

// keepPod refuses what cannot happen to a living pod: only its labels and its status change.
func (w *world) keepPod(o manifest.Object, pod, was *corev1.Pod) {
	if pod.Spec.NodeName == "" {
		pod.Spec.NodeName = was.Spec.NodeName
	}
	withContainers(pod)
	if !reflect.DeepEqual(pod.Spec, was.Spec) {
		w.fail(o.Node, "%s lives already and its spec cannot be changed: delete it in the same step", o.Key)
	}
	given := podIPs(pod)
	if len(given) > 0 && !slices.Equal(given, podIPs(was)) {
		w.fail(o.Node, "%s lives already and keeps its address: delete it in the same step", o.Key)
	}
	phase := pod.Status.Phase
	if phase == "" || phase == was.Status.Phase {
		pod.Status = was.Status
		return
	}
	pod.Status.PodIP, pod.Status.PodIPs = was.Status.PodIP, was.Status.PodIPs
}

func (w *world) nodes() []*corev1.Node {
	var nodes []*corev1.Node
	for _, key := range sortedKeys(w.objects, compareNames) {
		if node, ok := w.objects[key].Value.(*corev1.Node); ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func compareNames(a, b manifest.Key) int { return strings.Compare(a.String(), b.String()) }
