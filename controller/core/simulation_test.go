package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/sim/random"
)

var small = resolve.Options{ChunkSize: 2}

// server is an API server for PolicyEndpoints, with a watch that delivers when the test says so.
type server struct {
	version int
	objects map[string]*v1alpha1.PolicyEndpoint
	watch   []Input // still to be delivered
	refused int     // writes whose preconditions failed
}

func newServer() *server { return &server{objects: map[string]*v1alpha1.PolicyEndpoint{}} }

// write executes w as an API server would.
func (s *server) write(w Write) Wrote {
	name := w.Object.Namespace + "/" + w.Object.Name
	known := s.objects[name]
	switch {
	case w.Verb == Create && known == nil:
		return s.store(w, name)
	case w.Verb != Create && known == nil:
		return Wrote{Write: w, Outcome: Missing}
	case w.Verb == Create || known.UID != w.Object.UID || known.ResourceVersion != w.Object.ResourceVersion:
		s.refused++
		return Wrote{Write: w, Outcome: Failed}
	case w.Verb == Update:
		return s.store(w, name)
	}
	s.remove(name)
	return Wrote{Write: w, Outcome: Done}
}

func (s *server) store(w Write, name string) Wrote {
	s.version++
	o := w.Object.DeepCopy()
	o.ResourceVersion = fmt.Sprint(s.version)
	if w.Verb == Create {
		o.UID = types.UID(fmt.Sprintf("chunk-%d", s.version))
	}
	s.objects[name] = o
	s.watch = append(s.watch, Seen{o})
	return Wrote{Write: w, Outcome: Done, Object: o}
}

func (s *server) remove(name string) {
	s.watch = append(s.watch, Gone{s.objects[name]})
	delete(s.objects, name)
}

// garbage returns the names of what policies own that are not among uids, for the garbage collector.
func (s *server) garbage(uids map[types.UID]bool) []string {
	names := slices.Sorted(maps.Keys(s.objects))
	return slices.DeleteFunc(names, func(name string) bool { return uids[s.objects[name].OwnerReferences[0].UID] })
}

// all returns what is published, without what only the server decides.
func (s *server) all() map[string]*v1alpha1.PolicyEndpoint {
	all := map[string]*v1alpha1.PolicyEndpoint{}
	for name, o := range s.objects {
		o = o.DeepCopy()
		o.UID, o.ResourceVersion = "", ""
		all[name] = o
	}
	return all
}

// simulation is a Core, a server, and a cluster that changes.
type simulation struct {
	*rapid.T
	core    *Core
	server  *server
	cluster *resolve.Snapshot // as the API server has it
	news    map[string]Input  // that the core is still to see, by object
	due     map[types.NamespacedName]bool
	writes  int
}

func newSimulation(t *rapid.T) *simulation {
	s := &simulation{T: t, server: newServer(), cluster: &resolve.Snapshot{}}
	s.restart()
	return s
}

// restart replaces the core by a new one that sees what there is now.
func (s *simulation) restart() {
	s.core, s.due = New(small), map[types.NamespacedName]bool{}
	s.server.watch, s.news = nil, map[string]Input{}
	there := objectsOf(s.cluster)
	for _, key := range slices.Sorted(maps.Keys(there)) {
		s.step(Seen{there[key]})
	}
	for _, name := range slices.Sorted(maps.Keys(s.server.objects)) {
		s.step(Seen{s.server.objects[name]})
	}
	s.step(Start{})
}

// step feeds the core and executes the effects, of which a write may fail without a reason.
func (s *simulation) step(in Input) {
	failed := false
	for _, e := range s.core.Step(in) {
		switch e := e.(type) {
		case Queue:
			s.due[e.Policy] = true
		case Write:
			s.writes++
			switch {
			case failed: // later phases are not tried
			case rapid.IntRange(0, 9).Draw(s.T, "write fails") == 0:
				failed = true
				s.step(Wrote{Write: e, Outcome: Failed})
			default:
				answer := s.server.write(e)
				failed = answer.Outcome == Failed
				s.step(answer)
			}
		}
	}
}

// change makes the cluster another one; the core is still to see how.
func (s *simulation) change(to *resolve.Snapshot) {
	before, after := objectsOf(s.cluster), objectsOf(to)
	for key, o := range after {
		s.news[key] = Seen{o}
	}
	for key, o := range before {
		if after[key] == nil {
			s.news[key] = Gone{o}
		}
	}
	s.cluster = to
}

// happen lets one thing happen that may happen now, and reports whether there was any.
func (s *simulation) happen() bool {
	var can []string
	can = append(can, slices.Sorted(maps.Keys(s.news))...)
	for _, key := range slices.SortedFunc(maps.Keys(s.due), compareKeys) {
		can = append(can, "due "+key.String())
	}
	if len(s.server.watch) > 0 {
		can = append(can, "watch")
	}
	garbage := s.server.garbage(s.uids())
	if len(garbage) > 0 {
		can = append(can, "garbage")
	}
	if len(can) == 0 {
		return false
	}
	what := rapid.SampledFrom(can).Draw(s.T, "happens")
	switch {
	case what == "garbage":
		s.server.remove(garbage[0])
	case what == "watch":
		in := s.server.watch[0]
		s.server.watch = s.server.watch[1:]
		s.step(in)
	case strings.HasPrefix(what, "due "):
		namespace, name, _ := strings.Cut(strings.TrimPrefix(what, "due "), "/")
		key := types.NamespacedName{Namespace: namespace, Name: name}
		delete(s.due, key)
		s.step(Due{key})
	default:
		in := s.news[what]
		delete(s.news, what)
		s.step(in)
	}
	return true
}

// settle lets everything happen and checks what is published.
func (s *simulation) settle() {
	for n := 0; s.happen(); n++ {
		if n > 2000 {
			s.Fatal("no end of things that happen")
		}
	}
	all, _ := resolve.All(s.cluster, small)
	want := map[string]*v1alpha1.PolicyEndpoint{}
	for _, o := range all {
		want[o.Namespace+"/"+o.Name] = o
	}
	if diff := cmp.Diff(want, s.server.all()); diff != "" {
		s.Fatalf("published (-want +got):\n%s", diff)
	}
}

func (s *simulation) uids() map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, p := range s.cluster.Policies {
		uids[p.UID] = true
	}
	return uids
}

// draw draws a cluster. A policy that the one before does not have is another one, even under an old name.
func draw(t *rapid.T, before *resolve.Snapshot, generation int) *resolve.Snapshot {
	c := random.Cluster(t)
	s := &resolve.Snapshot{Namespaces: c.Namespaces, Pods: c.Pods, Policies: c.Policies}
	known := objectsOf(before)
	for _, p := range s.Policies {
		p.UID = types.UID(fmt.Sprintf("%s-%d", p.Name, generation))
		if old, ok := known[keyFor(p)].(*networkingv1.NetworkPolicy); ok && rapid.Bool().Draw(t, "the same policy") {
			p.UID = old.UID
		}
	}
	s.Services, s.EndpointSlices = drawService(t)
	return s
}

// drawService draws one Service, or none, with some of the addresses that pods have.
func drawService(t *rapid.T) ([]*corev1.Service, []*discoveryv1.EndpointSlice) {
	if rapid.Bool().Draw(t, "no service") {
		return nil, nil
	}
	labels := map[string]string{discoveryv1.LabelServiceName: "web"}
	meta := metav1.ObjectMeta{Namespace: "ns0", Name: "web", Labels: labels}
	service := &corev1.Service{ObjectMeta: meta}
	service.Spec.ClusterIP = "10.1.0.200"
	service.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, Ports: []discoveryv1.EndpointPort{{Port: new(int32(8080))}}}
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 2, rapid.ID).Draw(t, "backends") {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.0.%d", n)}})
	}
	return []*corev1.Service{service}, []*discoveryv1.EndpointSlice{slice}
}

// objectsOf lists the objects of s, by kind and name.
func objectsOf(s *resolve.Snapshot) map[string]any {
	all := map[string]any{}
	collect(all, s.Namespaces)
	collect(all, s.Pods)
	collect(all, s.Services)
	collect(all, s.EndpointSlices)
	collect(all, s.Policies)
	return all
}

func collect[T metav1.Object](all map[string]any, list []T) {
	for _, o := range list {
		all[keyFor(o)] = o
	}
}

func keyFor(o metav1.Object) string { return fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName()) }

// TestConverges: whatever the order in which events, watches, turns, failures and restarts come, what is published ends
// as what All says of the cluster, and then nothing is left to do, by this process or by the next.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		for generation := range 3 {
			s.change(draw(t, s.cluster, generation))
			for range rapid.IntRange(0, 10).Draw(t, "meanwhile") {
				s.happen()
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				s.restart()
			}
		}
		s.settle()
		if s.server.refused > 0 {
			t.Errorf("%d writes were refused although nobody else writes", s.server.refused)
		}
		s.writes = 0
		s.restart()
		s.settle()
		if s.writes > 0 {
			t.Errorf("%d writes after a restart although nothing changed", s.writes)
		}
	})
}
