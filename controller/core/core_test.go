package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
)

// The words in which these tests speak.

func newPolicy(t *testing.T, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name, p.UID = "shop", name, types.UID("uid-"+name)
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func newPod(name, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, HostIP: "192.0.2.1"},
	}
}

var web = types.NamespacedName{Namespace: "shop", Name: "web"}

// started returns a Core that publishes and has seen objects.
func started(objects ...any) *Core {
	c := New(resolve.Options{})
	for _, o := range objects {
		c.Step(Seen{o})
	}
	c.Step(Start{})
	return c
}

// publish executes what a Due of shop/web asks for on s, and returns the effects, those of the answers last.
func publish(c *Core, s *server) []Effect {
	effects := c.Step(Due{web})
	for _, w := range of[Write](effects) {
		effects = append(effects, c.Step(s.write(w))...)
	}
	return effects
}

// of returns the effects of one kind.
func of[E Effect](effects []Effect) []E {
	var list []E
	for _, e := range effects {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// verbs lists what is written: "update web".
func verbs(effects []Effect) []string {
	var list []string
	for _, w := range of[Write](effects) {
		list = append(list, string(w.Verb)+" "+w.Object.Spec.PolicyRef.Name)
	}
	return list
}

func check(t *testing.T, what string, effects []Effect, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, verbs(effects)); diff != "" {
		t.Errorf("%s: writes (-want +got):\n%s", what, diff)
	}
}

func TestLifeOfAPolicy(t *testing.T) {
	s, np := newServer(), newPolicy(t, "web", `{}`)
	c := started()
	if got := c.Step(Seen{np}); !slices.Equal(got, []Effect{Queue{Policy: web}}) {
		t.Fatalf("a new policy asks for %v", got)
	}
	check(t, "new", publish(c, s), "create web")
	check(t, "again", publish(c, s))
	if got := c.Step(Seen{newPod("a", "10.0.0.1")}); !slices.Equal(got, []Effect{Queue{Policy: web}}) {
		t.Fatalf("a new pod asks for %v", got)
	}
	update := publish(c, s)
	check(t, "changed", update, "update web")
	if w := of[Write](update)[0]; w.Object.ResourceVersion != "1" || w.Object.UID != "chunk-1" {
		t.Errorf("preconditions %q, %q; want the version and the UID that were seen", w.Object.ResourceVersion, w.Object.UID)
	}
	c.Step(Gone{np})
	check(t, "gone", publish(c, s), "delete web")
	if len(s.objects) > 0 || s.refused > 0 {
		t.Errorf("%d objects left, %d writes refused", len(s.objects), s.refused)
	}
}

// TestLateNewsOfOwnWrites: the watch tells of each write after its answer, which must not count as a change.
func TestLateNewsOfOwnWrites(t *testing.T) {
	s, np := newServer(), newPolicy(t, "web", `{}`)
	c := started(np)
	publish(c, s)
	c.Step(Seen{newPod("a", "10.0.0.1")})
	publish(c, s)
	c.Step(Gone{np})
	publish(c, s)
	for i, news := range s.watch {
		if effects := c.Step(news); len(effects) > 0 {
			t.Errorf("news %d of own writes causes %v", i, effects)
		}
	}
}

// TestStandby: a replica that does not lead follows and asks for nothing.
func TestStandby(t *testing.T) {
	c := New(resolve.Options{})
	effects := slices.Concat(c.Step(Seen{newPolicy(t, "web", `{}`)}), c.Step(Due{web}))
	if len(effects) > 0 {
		t.Errorf("effects before Start: %v", effects)
	}
	if got := c.Step(Start{}); !slices.Equal(got, []Effect{Queue{Policy: web}}) {
		t.Errorf("Start asks for %v", got)
	}
	c.Step(Stop{})
	if effects := c.Step(Due{web}); len(effects) > 0 {
		t.Errorf("effects after Stop: %v", effects)
	}
}

// TestFailuresAreTriedAgain: with a pause, from what is known by then.
func TestFailuresAreTriedAgain(t *testing.T) {
	retry := []Effect{Queue{Policy: web, Retry: true}}
	c := started(newPolicy(t, "web", `{}`))
	w := of[Write](c.Step(Due{web}))[0]
	if got := c.Step(Wrote{Write: w, Outcome: Failed}); !slices.Equal(got, retry) {
		t.Errorf("a failure asks for %v", got)
	}
	s := newServer()
	publish(c, s)
	clear(s.objects) // deleted by somebody, and the watch is late
	c.Step(Seen{newPod("a", "10.0.0.1")})
	w = of[Write](c.Step(Due{web}))[0]
	if got := c.Step(s.write(w)); !slices.Equal(got, retry) {
		t.Errorf("an update of what is gone asks for %v", got)
	}
	check(t, "after that", c.Step(Due{web}), "create web")
}

// TestReview: what was created and deleted without any news is noticed, but not what the watch cannot know yet.
func TestReview(t *testing.T) {
	s, c := newServer(), started(newPolicy(t, "web", `{}`))
	publish(c, s)
	known := map[types.NamespacedName]bool{keyOf(s.watch[0].(Seen).Object.(*v1alpha1.PolicyEndpoint)): true}
	for name, r := range map[string]Reviewed{
		"the watch knows it": {UpTo: "7", Chunks: known}, "the watch is late": {UpTo: "0"}, "no version": {},
	} {
		if effects := c.Step(r); len(effects) > 0 {
			t.Errorf("%s: %v", name, effects)
		}
	}
	if got := c.Step(Reviewed{UpTo: "1"}); !slices.Equal(got, []Effect{Queue{Policy: web}}) {
		t.Errorf("the watch should know it: %v, want a turn", got)
	}
	check(t, "after the review", c.Step(Due{web}), "create web")
}

// TestPolicyBeingDeleted: the garbage collector deletes what it owns first; that must not be created again.
func TestPolicyBeingDeleted(t *testing.T) {
	np := newPolicy(t, "web", `{}`)
	np.DeletionTimestamp = &metav1.Time{}
	check(t, "being deleted", started(np).Step(Due{web}))
}

// TestPolicyBeingDeletedGrows: a finalizer of others can keep it for long. What moves to an object that is not created
// stays where it is, so that the pods stay isolated.
func TestPolicyBeingDeletedGrows(t *testing.T) {
	s, c, np := newServer(), New(small), newPolicy(t, "web", `{}`)
	for _, o := range []any{np, newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2")} { // which fit into one object
		c.Step(Seen{o})
	}
	c.Step(Start{})
	publish(c, s)
	dying := np.DeepCopy()
	dying.DeletionTimestamp = &metav1.Time{}
	c.Step(Seen{dying})
	c.Step(Seen{newPod("c", "10.0.0.3")})
	check(t, "a pod more than fits", publish(c, s))
	c.Step(Gone{newPod("b", "10.0.0.2")})
	check(t, "all fit", publish(c, s), "update web")
}

// TestUnseenPolicy: objects of a policy that was never seen are left to the garbage collector: news may be late.
func TestUnseenPolicy(t *testing.T) {
	s, np := newServer(), newPolicy(t, "web", `{}`)
	publish(started(np), s)
	o := s.watch[0].(Seen).Object
	check(t, "after a restart", started(o).Step(Due{web}))
	reborn := newPolicy(t, "web", `{}`)
	reborn.UID = "another"
	effects := started(o, reborn).Step(Due{web})
	check(t, "the name is taken", effects)
	if warned := of[Warn](effects); len(warned) != 1 || !errors.Is(warned[0].Err, ErrTaken) {
		t.Errorf("warnings %v, want %v", warned, ErrTaken)
	}
	if !slices.Contains(effects, Effect(Queue{Policy: web, Retry: true})) {
		t.Errorf("effects %v, want a retry", effects)
	}
}

// TestReplacedPolicy: what the one before left is deleted, then the new one is published.
func TestReplacedPolicy(t *testing.T) {
	s, c := newServer(), started(newPolicy(t, "web", `{}`))
	publish(c, s)
	reborn := newPolicy(t, "web", `{}`)
	reborn.UID = "another"
	c.Step(Seen{reborn})
	effects := publish(c, s)
	check(t, "first", effects, "delete web")
	if !slices.Contains(effects, Effect(Queue{Policy: web})) {
		t.Errorf("effects %v, want another turn", effects)
	}
	check(t, "then", publish(c, s), "create web")
}

// TestWhatIsInTheWayCannotBeDeleted: the policy that took the name waits for the last delete, or for a pause.
func TestWhatIsInTheWayCannotBeDeleted(t *testing.T) {
	s, c := newServer(), New(small)
	for i := range 3 { // a head and at least two chunks
		c.Step(Seen{newPod(fmt.Sprint("pod-", i), fmt.Sprint("10.0.0.", i))})
	}
	c.Step(Seen{newPolicy(t, "web", `{}`)})
	c.Step(Start{})
	publish(c, s)
	reborn := newPolicy(t, "web", `{}`)
	reborn.UID = "another"
	c.Step(Seen{reborn})
	effects := c.Step(Due{web})
	if turns := of[Queue](effects); len(turns) > 0 {
		t.Errorf("beside the deletes: %v, want no turn before they are done", turns)
	}
	retry, deletes := []Effect{Queue{Policy: web, Retry: true}}, of[Write](effects)
	for i, w := range deletes {
		if got := c.Step(Wrote{Write: w, Outcome: Failed}); !slices.Equal(got, retry) {
			t.Errorf("delete %d fails: %v, want a turn after a pause only", i, got)
		}
		var want []Effect
		if i == len(deletes)-1 {
			want = []Effect{Queue{Policy: web}}
		}
		if got := c.Step(s.write(w)); !slices.Equal(got, want) {
			t.Errorf("delete %d of %d is done: %v, want %v", i, len(deletes), got, want)
		}
	}
}

// TestVariantsOfAnEarlierVersion: what was published under another policyRef.name is replaced in the order of phases, so
// that no pod is without its policy in between.
func TestVariantsOfAnEarlierVersion(t *testing.T) {
	np := newPolicy(t, "web", `{ingress: [{ports: [{port: http}]}]}`)
	a, b := newPod("a", "10.0.0.1"), newPod("b", "10.0.0.2")
	a.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}}
	s := newServer()
	c := started(np, a, b)
	for _, w := range of[Write](c.Step(Due{web})) {
		old := w.Object.DeepCopy()
		old.Name = "web-" + old.Name[len(old.Name)-10:]
		old.Spec.PolicyRef.Name = "web:" + old.Annotations[v1alpha1.NamedPortsAnnotation]
		delete(old.Annotations, v1alpha1.PolicyAnnotation)
		delete(old.Annotations, v1alpha1.NamedPortsAnnotation)
		c.Step(Seen{s.store(Write{Verb: Create, Object: old}, "shop/"+old.Name).Object})
	}
	var got []string
	for _, w := range of[Write](publish(c, s)) {
		got = append(got, fmt.Sprint(w.Phase, " ", w.Verb))
	}
	if diff := cmp.Diff([]string{"1 create", "1 create", "2 delete", "2 delete"}, got); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	check(t, "after that", publish(c, s))
}

// TestNothingIsRememberedOfWhatIsGone: a process that runs for long sees many policies go.
func TestNothingIsRememberedOfWhatIsGone(t *testing.T) {
	np, s := newPolicy(t, "web", `{}`), newServer()
	leader, standby := started(np), New(resolve.Options{})
	publish(leader, s)
	leader.Step(Gone{np})
	publish(leader, s)
	standby.Step(Seen{np})
	standby.Step(s.watch[0])
	standby.Step(Gone{np})
	if !standby.departed[web][np.UID] {
		t.Error("a policy of which an object is left is forgotten")
	}
	standby.Step(s.watch[1])
	standby.Step(Seen{np})
	standby.Step(Gone{np}) // and nothing was published of it
	for name, c := range map[string]*Core{"leader": leader, "standby": standby} {
		if len(c.departed) > 0 {
			t.Errorf("the %s remembers %v", name, c.departed)
		}
	}
}

// TestPolicyGoesWhileItIsPublished: the answer of the API server comes after the news.
func TestPolicyGoesWhileItIsPublished(t *testing.T) {
	s, np := newServer(), newPolicy(t, "web", `{}`)
	c := started(np)
	w := of[Write](c.Step(Due{web}))[0]
	c.Step(Gone{np})
	if got := c.Step(s.write(w)); !slices.Equal(got, []Effect{Queue{Policy: web}}) {
		t.Errorf("the late answer asks for %v", got)
	}
	check(t, "then", publish(c, s), "delete web")
}

// TestOrphans: an object that lost its owner stays neither in the way of its policy nor behind when that goes.
func TestOrphans(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(c *Core, np *networkingv1.NetworkPolicy, orphan Seen)
		want    []string
	}{
		"the policy is there": {func(c *Core, _ *networkingv1.NetworkPolicy, orphan Seen) { c.Step(orphan) }, []string{"update web"}},
		"the policy goes": {func(c *Core, np *networkingv1.NetworkPolicy, orphan Seen) {
			c.Step(orphan)
			c.Step(Gone{np})
		}, []string{"delete web"}},
		"the policy goes, and the news of its object are late": {func(c *Core, np *networkingv1.NetworkPolicy, orphan Seen) {
			c.Step(Gone{np})
			c.Step(orphan)
		}, []string{"delete web"}},
		"the policy needs another object": {func(c *Core, _ *networkingv1.NetworkPolicy, orphan Seen) {
			o := *orphan.Object.(*v1alpha1.PolicyEndpoint)
			o.Name, o.UID = "web-0123456789", "restored"
			c.Step(Seen{&o})
		}, []string{"delete web"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, np := newServer(), newPolicy(t, "web", `{}`)
			c := started(np)
			publish(c, s)
			o := s.watch[0].(Seen).Object.(*v1alpha1.PolicyEndpoint).DeepCopy()
			o.OwnerReferences = nil
			tt.happens(c, np, Seen{s.store(Write{Verb: Update, Object: o}, "shop/"+o.Name).Object})
			effects := publish(c, s)
			check(t, name, effects, tt.want...)
			if warned := of[Warn](effects); len(warned) > 0 || len(c.departed) > 0 {
				t.Errorf("warnings %v, departed %v", warned, c.departed)
			}
		})
	}
	o := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-x", Annotations: map[string]string{v1alpha1.ChunkHashAnnotation: "h"},
	}}
	o.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "shop", Name: "web"}
	check(t, "of a policy of which there may be news yet", started(o).Step(Due{web}))
}

// TestForeignObjects: what another controller published for a policy is warned of once, and never touched.
func TestForeignObjects(t *testing.T) {
	np := newPolicy(t, "web", `{}`)
	owner := metav1.NewControllerRef(np, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	foreign := &v1alpha1.PolicyEndpoint{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-x7k2p", UID: "f", OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Spec: v1alpha1.PolicyEndpointSpec{PolicyRef: v1alpha1.PolicyReference{Namespace: "shop", Name: "web"}},
	}
	s, c := newServer(), started(np, foreign)
	effects := publish(c, s)
	check(t, "beside a foreign object", effects, "create web")
	warned := of[Warn](effects)
	if len(warned) != 1 || !errors.Is(warned[0].Err, ErrForeign) || !strings.Contains(warned[0].Err.Error(), "web-x7k2p") {
		t.Errorf("warnings %v, want one that names web-x7k2p", warned)
	}
	if effects := publish(c, s); len(effects) > 0 {
		t.Errorf("the second time: %v", effects)
	}
	c.Step(Gone{np})
	check(t, "policy gone", publish(c, s), "delete web")
}

// TestMetadataOfOthersStays: an update keeps labels and annotations that are not ours, and repairs those that are.
func TestMetadataOfOthersStays(t *testing.T) {
	s, c := newServer(), started(newPolicy(t, "web", `{}`))
	publish(c, s)
	o := s.watch[0].(Seen).Object.(*v1alpha1.PolicyEndpoint).DeepCopy()
	o.Labels = map[string]string{"team": "a"}
	o.Annotations = map[string]string{"note": "b", v1alpha1.ChunkHashAnnotation: "wrong"}
	s.store(Write{Object: o, Verb: Update}, "shop/"+o.Name)
	c.Step(s.watch[1])
	check(t, "edited", publish(c, s), "update web")
	after := s.objects["shop/"+o.Name]
	if after.Labels["team"] != "a" || after.Annotations["note"] != "b" {
		t.Errorf("metadata of others: %v %v", after.Labels, after.Annotations)
	}
	if hash := after.Annotations[v1alpha1.ChunkHashAnnotation]; hash == "wrong" {
		t.Errorf("the hash is still %q", hash)
	}
	check(t, "repaired", publish(c, s))
}

// TestTells: an author is told once of each mistake, again after it was undone, and again if telling failed.
func TestTells(t *testing.T) {
	s, np := newServer(), newPolicy(t, "web", `{podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: 0}]}]}`)
	c := started(np)
	var reasons []string
	for _, tell := range of[Tell](publish(c, s)) {
		reasons = append(reasons, tell.Reason)
		if tell.Policy != web || tell.UID != np.UID || strings.Contains(tell.Note, "networkpolicy shop/web") {
			t.Errorf("told %+v", tell)
		}
	}
	if diff := cmp.Diff([]string{"InvalidRule", "SelectsNothing"}, reasons); diff != "" {
		t.Fatalf("reasons (-want +got):\n%s", diff)
	}
	if again := of[Tell](publish(c, s)); len(again) > 0 {
		t.Errorf("told again: %v", again)
	}
	c.Step(Seen{newPod("a", "10.0.0.1")})
	publish(c, s)
	c.Step(Gone{newPod("a", "10.0.0.1")})
	again := of[Tell](publish(c, s))
	if len(again) != 1 || again[0].Reason != "SelectsNothing" {
		t.Fatalf("told %v, want SelectsNothing alone", again)
	}
	if got := c.Step(Told{Tell: again[0]}); !slices.Equal(got, []Effect{Queue{Policy: web, Retry: true}}) {
		t.Errorf("after a failure: %v", got)
	}
	if third := of[Tell](publish(c, s)); !slices.Equal(third, again) {
		t.Errorf("told %v, want %v", third, again)
	}
}

// TestBadObjectsAreWarnedOf: they open nothing, and somebody should know.
func TestBadObjectsAreWarnedOf(t *testing.T) {
	warned := of[Warn](New(resolve.Options{}).Step(Seen{newPod("a", "10.0.0.256")}))
	if len(warned) != 1 || warned[0].Object != "pod shop/a" {
		t.Errorf("warnings %v, want one of pod shop/a", warned)
	}
}

// TestNothingIsMissingInBetween: who applies (all pods) × (all rules) after every single write never misses what is
// there before and after, and never sees a new pod before all of its rules.
func TestNothingIsMissingInBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}}
		np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{
			{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}}
		c, s := New(small), newServer()
		c.Step(Seen{np})
		c.Step(Start{})
		there := map[int]bool{}
		for range 4 {
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(1, 12), 1, 6, rapid.ID).Draw(t, "pods that come or go") {
				pod := newPod(fmt.Sprintf("pod-%d", i), fmt.Sprintf("10.0.0.%d", i))
				if there[i] {
					c.Step(Gone{pod})
				} else {
					c.Step(Seen{pod})
				}
				there[i] = !there[i]
			}
			writeOneByOne(t, c, s)
		}
	})
}

// writeOneByOne executes the writes of a Due, in any order within a phase, and looks at the result of each.
func writeOneByOne(t *rapid.T, c *Core, s *server) {
	before := union(s)
	writes := of[Write](c.Step(Due{web}))
	after := newServer()
	for name, o := range s.objects {
		after.objects[name] = o
	}
	for _, w := range writes {
		after.write(w)
	}
	end := union(after)
	if !slices.IsSortedFunc(writes, func(a, b Write) int { return int(a.Phase) - int(b.Phase) }) {
		t.Fatal("phases are out of order")
	}
	for len(writes) > 0 {
		phase := slices.DeleteFunc(slices.Clone(writes), func(w Write) bool { return w.Phase != writes[0].Phase })
		for _, w := range rapid.Permutation(phase).Draw(t, "order") {
			c.Step(s.write(w))
			now := union(s)
			for item := range before {
				if end[item] && !now[item] {
					t.Fatalf("%s is there before and after, but not after %s %s", item, w.Verb, w.Object.Name)
				}
			}
			for item := range end {
				newPod := strings.HasPrefix(item, "pod ") && !before[item] && now[item]
				if missing := rules(end, now); newPod && len(missing) > 0 && w.Phase < RemovePods {
					t.Fatalf("%s is there before rules %v", item, missing)
				}
			}
		}
		writes = writes[len(phase):]
	}
}

// union is what a consumer applies: "pod ADDRESS" and "rule ADDRESS".
func union(s *server) map[string]bool {
	all := map[string]bool{}
	for _, o := range s.objects {
		for _, p := range o.Spec.PodSelectorEndpoints {
			all["pod "+string(p.PodIP)] = true
		}
		for _, e := range o.Spec.Ingress {
			all["rule "+string(e.CIDR)] = true
		}
	}
	return all
}

// rules returns the rules of want that got lacks.
func rules(want, got map[string]bool) []string {
	var missing []string
	for item := range want {
		if strings.HasPrefix(item, "rule ") && !got[item] {
			missing = append(missing, item)
		}
	}
	return missing
}
