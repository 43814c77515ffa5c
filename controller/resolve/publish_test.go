package resolve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// crowd is n pods of namespace x that may all talk to each other.
func crowd(t *testing.T, n int) *Snapshot {
	s := &Snapshot{Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{ingress: [{from: [{podSelector: {}}]}]}`)}}
	for i := range n {
		s.Pods = append(s.Pods, newTestPod(fmt.Sprintf("x/pod-%d", i), fmt.Sprintf("10.1.%d.%d", i/256, i%256)))
	}
	return s
}

// resolveIn resolves s in chunks of size and returns the objects by name.
func resolveIn(t *testing.T, s *Snapshot, size int) map[string]*v1alpha1.PolicyEndpoint {
	t.Helper()
	all, errs := All(s, Options{ChunkSize: size})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	byName := map[string]*v1alpha1.PolicyEndpoint{}
	for _, pe := range all {
		if byName[pe.Name] != nil {
			t.Fatalf("two objects are called %s", pe.Name)
		}
		byName[pe.Name] = pe
	}
	return byName
}

func TestChunkSize(t *testing.T) {
	tests := map[string]struct{ pods, size, atLeast, atMost int }{
		"everything fits":        {1000, 0, 1, 1},
		"one more than fits":     {1001, 0, 5, 5}, // a head, two chunks of rules, two of pods
		"a chunk for every item": {20, 1, 41, 41},
		"many":                   {5000, 1000, 11, 33}, // half full at worst
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set := resolveIn(t, crowd(t, tt.pods), tt.size)
			if len(set) < tt.atLeast || len(set) > tt.atMost {
				t.Errorf("%d objects, want %d to %d", len(set), tt.atLeast, tt.atMost)
			}
			limit := Options{ChunkSize: tt.size}.chunkSize()
			pods, entries := 0, 0
			for _, pe := range set {
				if len(pe.Spec.PodSelectorEndpoints) > limit || len(pe.Spec.Ingress) > limit {
					t.Errorf("%s has %d pods and %d entries", pe.Name, len(pe.Spec.PodSelectorEndpoints), len(pe.Spec.Ingress))
				}
				pods += len(pe.Spec.PodSelectorEndpoints)
				entries += len(pe.Spec.Ingress)
			}
			if pods != tt.pods || entries != tt.pods {
				t.Errorf("%d pods and %d entries in all, want %d of each", pods, entries, tt.pods)
			}
		})
	}
}

// TestRulesComeBeforePods: who publishes in the order of the result never shows a pod before its rules.
func TestRulesComeBeforePods(t *testing.T) {
	all, _ := All(crowd(t, 40), Options{ChunkSize: 10})
	if all[0].Annotations[v1alpha1.SetHashAnnotation] == "" {
		t.Error("the first object does not speak for the set")
	}
	seenPods := false
	for _, pe := range all {
		seenPods = seenPods || len(pe.Spec.PodSelectorEndpoints) > 0
		if seenPods && len(pe.Spec.Ingress) > 0 {
			t.Errorf("%s has rules after pods", pe.Name)
		}
	}
}

// TestOnePodTouchesFewChunks: its rule chunk, its pod chunk and the head, or a few more where a chunk splits.
func TestOnePodTouchesFewChunks(t *testing.T) {
	s := crowd(t, 2000)
	random := rand.New(rand.NewPCG(1, 2))
	before := resolveIn(t, s, 100)
	for range 20 {
		i := random.IntN(len(s.Pods))
		s.Pods = append(s.Pods[:i], s.Pods[i+1:]...)
		after := resolveIn(t, s, 100)
		if n := touched(before, after); n < 3 || n > 7 {
			t.Errorf("one pod of %d touched %d of %d objects, want 3, or up to 7 where chunks join", len(s.Pods), n, len(after))
		}
		before = after
	}
}

// touched counts the objects that a publisher would create, update or delete.
func touched(before, after map[string]*v1alpha1.PolicyEndpoint) int {
	n := 0
	for name, pe := range after {
		if before[name] == nil || fmt.Sprint(before[name].Annotations) != fmt.Sprint(pe.Annotations) {
			n++
		}
	}
	for name := range before {
		if after[name] == nil {
			n++
		}
	}
	return n
}

// TestIncompleteSetsAreRecognised: a set that lacks an object, or has one of another age, is not the policy.
func TestIncompleteSetsAreRecognised(t *testing.T) {
	old := resolveIn(t, crowd(t, 30), 10)
	all, _ := All(crowd(t, 31), Options{ChunkSize: 10})
	changed := 0
	for i, o := range all {
		if got := v1alpha1.CompletenessOf(slices.Delete(slices.Clone(all), i, i+1)); got != v1alpha1.Partial {
			t.Errorf("without %s: %v, want partial", o.Name, got)
		}
		before := old[o.Name]
		if before == nil || cmp.Equal(before, o) {
			continue
		}
		changed++
		if got := v1alpha1.CompletenessOf(slices.Replace(slices.Clone(all), i, i+1, before)); got != v1alpha1.Partial {
			t.Errorf("with %s as it was: %v, want partial", o.Name, got)
		}
	}
	if changed < 2 {
		t.Errorf("%d objects changed, want the head and a chunk at least", changed)
	}
	if got := v1alpha1.CompletenessOf(all); got != v1alpha1.Complete {
		t.Errorf("all of them: %v, want complete", got)
	}
}

// TestVariantsAreOneSet: pods that move from one variant to another must not be seen in neither.
func TestVariantsAreOneSet(t *testing.T) {
	s := &Snapshot{
		Pods: []*corev1.Pod{
			newTestPod("x/a", "10.0.0.1", port("http", "TCP", 80)), newTestPod("x/b", "10.0.0.2", port("http", "TCP", 8080)),
		},
		Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{ingress: [{ports: [{port: http}]}]}`)},
	}
	all := resolveAll(t, s)
	if len(all) != 2 {
		t.Fatalf("%d objects, want 2", len(all))
	}
	if got := v1alpha1.CompletenessOf(all); got != v1alpha1.Complete {
		t.Errorf("both variants: %v, want complete", got)
	}
	if got := v1alpha1.CompletenessOf(all[:1]); got != v1alpha1.Partial {
		t.Errorf("one variant: %v, want partial", got)
	}
}

func TestObjectNames(t *testing.T) {
	for _, name := range []string{
		"p", "a-b", "a.b", strings.Repeat("a", 253), strings.Repeat("a", 241) + ".b" + strings.Repeat("a", 10),
	} {
		t.Run(name[:min(len(name), 10)], func(t *testing.T) {
			pe := only(t, &Snapshot{Policies: []*networkingv1.NetworkPolicy{policy(t, "x/"+name, `{}`)}})
			if problems := validation.IsDNS1123Subdomain(pe.Name); len(problems) > 0 {
				t.Errorf("%q is no object name: %v", pe.Name, problems)
			}
			head := pe.Name[:strings.LastIndex(pe.Name, "-")]
			if len(name) < 240 && head != name {
				t.Errorf("%q before the last dash, want %q", head, name)
			}
			if pe.Spec.PolicyRef.Name != name {
				t.Errorf("policyRef.name = %q, want %q", pe.Spec.PolicyRef.Name, name)
			}
		})
	}
}

// TestVariantsAreFoundByTheNameOfAnObject: other agents go by policyRef.name, or by an object's name up to its last dash.
// One that tells the variants apart by the first and not by the second opens pods when an object goes.
func TestVariantsAreFoundByTheNameOfAnObject(t *testing.T) {
	for _, name := range []string{"p", "a-b", "a.b", strings.Repeat("a", 253), strings.Repeat("a", 230) + ".b"} {
		t.Run(name[:min(len(name), 10)], func(t *testing.T) {
			s := &Snapshot{
				Pods: []*corev1.Pod{
					newTestPod("x/a", "10.0.0.1", port("http", "TCP", 80)), newTestPod("x/b", "10.0.0.2", port("http", "TCP", 8080)),
				},
				Policies: []*networkingv1.NetworkPolicy{policy(t, "x/"+name, `{ingress: [{ports: [{port: http}]}]}`)},
			}
			refs := map[string]bool{}
			for _, pe := range resolveAll(t, s) {
				ref := pe.Spec.PolicyRef.Name
				refs[ref] = true
				if head := pe.Name[:strings.LastIndex(pe.Name, "-")]; head != ref {
					t.Errorf("%q before the last dash, but policyRef.name is %q", head, ref)
				}
				for _, n := range []string{ref, pe.Name} {
					if problems := validation.IsDNS1123Subdomain(n); len(problems) > 0 {
						t.Errorf("%q is no object name: %v", n, problems)
					}
				}
				if got := v1alpha1.PolicyName(pe); got != name {
					t.Errorf("%q is said to be of policy %q", ref, got)
				}
			}
			if len(refs) != 2 || refs[name] {
				t.Errorf("names %v, want two, and not the policy's own", refs)
			}
		})
	}
}

// TestTrap6ObjectNamesOfSimilarPolicies: long names with the same head, and names that are joined alike, stay apart.
func TestTrap6ObjectNamesOfSimilarPolicies(t *testing.T) {
	long := strings.Repeat("a", 250)
	resolveIn(t, &Snapshot{Policies: []*networkingv1.NetworkPolicy{
		policy(t, "x/"+long+"b", `{}`), policy(t, "x/"+long+"c", `{}`), policy(t, "x/a", `{}`), policy(t, "x/a-b", `{}`),
		policy(t, "xa/b", `{}`), policy(t, "xa-b/a", `{}`),
	}}, 0)
}
