package resolve

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// follower resolves only the policies that the index says are touched.
type follower struct {
	index     *Index
	published map[types.NamespacedName][]*v1alpha1.PolicyEndpoint
}

func newFollower() *follower {
	return &follower{New(), map[types.NamespacedName][]*v1alpha1.PolicyEndpoint{}}
}

func (f *follower) resolve(touched []types.NamespacedName) {
	for _, key := range touched {
		r, ok := f.index.Resolve(key, Options{ChunkSize: 2})
		f.published[key] = r.Endpoints
		if !ok {
			delete(f.published, key)
		}
	}
}

// set makes the event that an object was added or changed.
func (f *follower) set(object any) func() {
	return func() {
		var touched []types.NamespacedName
		switch o := object.(type) {
		case *corev1.Namespace:
			touched = f.index.SetNamespace(o)
		case *corev1.Pod:
			touched, _ = f.index.SetPod(o)
		case *corev1.Service:
			touched, _ = f.index.SetService(o)
		case *discoveryv1.EndpointSlice:
			touched, _ = f.index.SetEndpointSlice(o)
		case *networkingv1.NetworkPolicy:
			touched = f.index.SetPolicy(o)
		}
		f.resolve(touched)
	}
}

// remove makes the event that an object was deleted.
func (f *follower) remove(object any) func() {
	key := keyOf(object.(named))
	return func() {
		switch object.(type) {
		case *corev1.Namespace:
			f.resolve(f.index.DeleteNamespace(key.Name))
		case *corev1.Pod:
			f.resolve(f.index.DeletePod(key))
		case *corev1.Service:
			f.resolve(f.index.DeleteService(key))
		case *discoveryv1.EndpointSlice:
			f.resolve(f.index.DeleteEndpointSlice(key))
		case *networkingv1.NetworkPolicy:
			f.resolve(f.index.DeletePolicy(key))
		}
	}
}

func keyOf(o named) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// objectsOf lists the objects of s, by kind and name.
func objectsOf(s *Snapshot) map[string]any {
	all := map[string]any{}
	for _, o := range s.Namespaces {
		all[fmt.Sprintf("%T %v", o, keyOf(o))] = o
	}
	for _, o := range s.Pods {
		all[fmt.Sprintf("%T %v", o, keyOf(o))] = o
	}
	for _, o := range s.Services {
		all[fmt.Sprintf("%T %v", o, keyOf(o))] = o
	}
	for _, o := range s.EndpointSlices {
		all[fmt.Sprintf("%T %v", o, keyOf(o))] = o
	}
	for _, o := range s.Policies {
		all[fmt.Sprintf("%T %v", o, keyOf(o))] = o
	}
	return all
}

// events are what turns one cluster into another, in no order.
func (f *follower) events(from, to *Snapshot) []func() {
	var events []func()
	before, after := objectsOf(from), objectsOf(to)
	for _, key := range slices.Sorted(maps.Keys(after)) {
		events = append(events, f.set(after[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if after[key] == nil {
			events = append(events, f.remove(before[key]))
		}
	}
	return events
}

// TestResolvingWhatIsTouchedIsEnough: whatever the order of events, resolving only the policies that each event touches
// ends in what All says of the cluster. And when everything is gone, the index has forgotten everything.
func TestResolvingWhatIsTouchedIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFollower()
		cluster := &Snapshot{}
		for range 3 {
			next := drawCluster(t)
			run(t, f.events(cluster, next))
			cluster = next
			want, _ := All(cluster, Options{ChunkSize: 2})
			if diff := cmp.Diff(byObject(want), f.all()); diff != "" {
				t.Fatalf("resolved bit by bit (-want +got):\n%s", diff)
			}
		}
		run(t, f.events(cluster, &Snapshot{}))
		if left := f.index.size(); left != 0 {
			t.Errorf("%d things are remembered of an empty cluster", left)
		}
	})
}

func run(t *rapid.T, events []func()) {
	for _, happen := range rapid.Permutation(events).Draw(t, "order") {
		happen()
	}
}

func (f *follower) all() map[string]*v1alpha1.PolicyEndpoint {
	var all []*v1alpha1.PolicyEndpoint
	for _, set := range f.published {
		all = append(all, set...)
	}
	return byObject(all)
}

func byObject(list []*v1alpha1.PolicyEndpoint) map[string]*v1alpha1.PolicyEndpoint {
	m := map[string]*v1alpha1.PolicyEndpoint{}
	for _, o := range list {
		m[o.Namespace+"/"+o.Name] = o
	}
	return m
}

// size counts everything that x holds on to.
func (x *Index) size() int {
	t, d := x.services, x.departed
	return len(x.namespaces) + len(x.pods) + len(x.byAddr) + len(x.declaring) + len(x.scopes) + len(x.scopeTable.buckets) +
		len(x.policies) + len(x.namedInBlock) + len(x.blocks.users) + len(x.blocks.lengths) +
		len(t.services) + len(t.sliceOf) + len(t.claims) + len(t.frontends) + len(t.byFirst) +
		len(x.hosts) + len(d.pods) + len(d.byAddr) + len(d.ended) + len(d.slices)
}

// TestWorkDoesNotGrowWithOtherPolicies: an event costs the same among 10 policies and among 1,000 that it does not
// concern, also if those share a label with the ones it does.
func TestWorkDoesNotGrowWithOtherPolicies(t *testing.T) {
	const spec = `{podSelector: {matchLabels: {app: "%[1]d", account: prod}}, ingress: [{from: [
		{podSelector: {matchExpressions: [{key: app, operator: In, values: ["%[1]d"]}]}},
		{namespaceSelector: {matchLabels: {team: "%[1]d"}}, podSelector: {matchLabels: {app: client}}}]}]}`
	asked := func(policies int) (work uint64, touched []types.NamespacedName) {
		x := New()
		x.SetNamespace(newNamespace("x", map[string]string{"team": "7"}))
		for i := range policies {
			x.SetPolicy(policy(t, fmt.Sprintf("x/p-%d", i), fmt.Sprintf(spec, i)))
		}
		before := x.SelectorsAsked()
		touched, err := x.SetPod(newTestPod("x/web", "10.0.0.1", label("app", "7"), label("account", "prod")))
		if err != nil {
			t.Fatal(err)
		}
		x.SetNamespace(newNamespace("x", map[string]string{"team": "8"}))
		return x.SelectorsAsked() - before, touched
	}
	few, _ := asked(10)
	many, touched := asked(1000)
	if few == 0 || many > few+2 {
		t.Errorf("%d selectors asked among 10 policies, %d among 1,000", few, many)
	}
	if diff := cmp.Diff([]types.NamespacedName{{Namespace: "x", Name: "p-7"}}, touched); diff != "" {
		t.Errorf("touched (-want +got):\n%s", diff)
	}
}

// TestUntouched: events that change nothing that policies depend on touch none.
func TestUntouched(t *testing.T) {
	before := newTestPod("x/web", "10.0.0.1", port("http", corev1.ProtocolTCP, 80))
	tests := map[string]func(*corev1.Pod){
		"again":            func(*corev1.Pod) {},
		"a label unasked":  label("unasked", "for"),
		"an annotation":    func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} },
		"terminating":      terminating,
		"ready":            func(p *corev1.Pod) { p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}} },
		"a port unnamed":   port("", corev1.ProtocolTCP, 81),
		"pending, with IP": phase(corev1.PodPending),
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			x := New()
			x.SetPolicy(policy(t, "x/p", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`))
			if touched, err := x.SetPod(before); err != nil || len(touched) != 1 {
				t.Fatalf("a new pod touches %v (%v), want the policy", touched, err)
			}
			after := before.DeepCopy()
			change(after)
			if touched, err := x.SetPod(after); err != nil || len(touched) > 0 {
				t.Errorf("touched %v (%v), want none", touched, err)
			}
		})
	}
}

func TestHints(t *testing.T) {
	pods := []*corev1.Pod{newTestPod("x/web", "10.0.0.1", port("http", corev1.ProtocolTCP, 80))}
	tests := map[string]struct {
		spec string
		want []Hint
	}{
		"nothing to say": {`{ingress: [{ports: [{port: http}], from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`, nil},
		"selects nothing": {`{podSelector: {matchLabels: {app: wbe}}, ingress: [{ports: [{port: nobody}]}]}`,
			[]Hint{{SelectsNothing, "spec.podSelector: matches no pod that has an address"}}},
		"name of another protocol": {`{ingress: [{}, {ports: [{port: http, protocol: UDP}]}]}`,
			[]Hint{{UnknownPortName, `spec.ingress[1].ports: no selected pod declares a UDP port named "http"`}}},
		"name unknown to the peers": {`{egress: [{to: [{podSelector: {}}], ports: [{port: dns}, {port: http}]}]}`,
			[]Hint{{UnknownPortName, `spec.egress[0].ports: no pod that this rule selects declares a TCP port named "dns"`}}},
		"host bits": {`{egress: [{to: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.1.2.3/16]}}]}]}`, []Hint{
			{HostBitsSet,
				`spec.egress[0].to[0].ipBlock.cidr: "10.1.2.3/8" has bits set outside of its prefix and means 10.0.0.0/8`},
			{HostBitsSet,
				`spec.egress[0].to[0].ipBlock.except[0]: "10.1.2.3/16" has bits set outside of its prefix and means 10.1.0.0/16`},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x, _ := NewIndex(&Snapshot{Pods: pods})
			x.SetPolicy(policy(t, "x/p", tt.spec))
			r, _ := x.Resolve(types.NamespacedName{Namespace: "x", Name: "p"}, Options{})
			if diff := cmp.Diff(tt.want, r.Hints); diff != "" {
				t.Errorf("hints (-want +got):\n%s", diff)
			}
		})
	}
}

// TestServicesTouchPolicies: a Service that appears touches the policies that its ClusterIP or its backends matter to.
func TestServicesTouchPolicies(t *testing.T) {
	tests := map[string]struct {
		rules string
		want  int
	}{
		"backends by selector":           {`[{to: [{podSelector: {}}]}]`, 1},
		"backends by ipBlock":            {`[{to: [{ipBlock: {cidr: 10.0.0.0/24}}]}]`, 1},
		"ClusterIP by ipBlock":           {`[{to: [{ipBlock: {cidr: 172.20.0.0/16}}]}]`, 1},
		"everything":                     {`[{ports: [{port: 80}]}]`, 1},
		"other pods":                     {`[{to: [{podSelector: {matchLabels: {app: other}}}]}]`, 0},
		"other block":                    {`[{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]`, 0},
		"backends as sources, not peers": {`[]`, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x, _ := NewIndex(&Snapshot{Pods: []*corev1.Pod{newTestPod("x/web", "10.0.0.1")}})
			x.SetPolicy(policy(t, "x/p", `{policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: `+
				tt.rules+`}`))
			early, _ := x.SetEndpointSlice(slice("x/web", "10.0.0.1", 8080))
			touched, _ := x.SetService(service("x/web", "172.20.0.1", 80))
			if len(early) != 0 || len(touched) != tt.want {
				t.Errorf("the slice alone touches %v, with the Service %v; want none and %d", early, touched, tt.want)
			}
		})
	}
}
