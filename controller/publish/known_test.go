package publish

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/core"
)

// teller is a known that writes down what it tells.
type teller struct {
	*testing.T
	*known
	number prometheus.Gauge
	told   []string
}

func newTeller(t *testing.T) *teller {
	x := &teller{T: t, number: prometheus.NewGauge(prometheus.GaugeOpts{Name: "n"})}
	x.known = newKnown(x.number, func(in core.Input) {
		switch in := in.(type) {
		case core.Seen:
			x.told = append(x.told, "seen "+text(in.Object))
		case core.Gone:
			x.told = append(x.told, "gone "+text(in.Object))
		default:
			t.Errorf("told %T", in)
		}
	})
	return x
}

func text(o any) string {
	m := o.(metav1.Object)
	return fmt.Sprintf("%s/%s@%s", m.GetNamespace(), m.GetName(), m.GetResourceVersion())
}

// namespaced is a pod of namespace shop at a version.
func namespaced(name, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: version}}
}

// expect compares what was told since the last time.
func (x *teller) expect(what string, want ...string) {
	x.Helper()
	if diff := cmp.Diff(want, x.told); diff != "" {
		x.Errorf("%s is told as (-want +got):\n%s", what, diff)
	}
	x.told = nil
}

func TestAReflectorsNewsIsToldOn(t *testing.T) {
	x := newTeller(t)
	must(t, x.Replace([]any{namespaced("b", "2"), namespaced("a", "1")}, "5"))
	x.expect("the first list", "seen shop/a@1", "seen shop/b@2")
	must(t, x.Add(namespaced("c", "6")))
	must(t, x.Update(namespaced("a", "7")))
	must(t, x.Delete(namespaced("b", "8")))
	x.expect("what the watch says", "seen shop/c@6", "seen shop/a@7", "gone shop/b@8")
}

// TestAListSaysWhatAWatchMissed: and nothing of what has not changed.
func TestAListSaysWhatAWatchMissed(t *testing.T) {
	x := newTeller(t)
	must(t, x.Replace([]any{namespaced("gone", "1"), namespaced("same", "2"), namespaced("other", "3")}, "5"))
	x.told = nil
	must(t, x.Replace([]any{namespaced("same", "2"), namespaced("other", "6"), namespaced("new", "7")}, "9"))
	x.expect("a second list", "gone shop/gone@1", "seen shop/new@7", "seen shop/other@6")
	must(t, x.Replace(nil, "10"))
	x.expect("an empty list", "gone shop/new@7", "gone shop/other@6", "gone shop/same@2")
}

func TestEverythingIsListedBeforeItIsSaidTo(t *testing.T) {
	x := newTeller(t)
	x.tell = func(core.Input) {
		if !x.first() {
			t.Error("an object of the first list is told after that is said to be over")
		}
	}
	must(t, x.Replace([]any{namespaced("a", "1")}, "1"))
	if x.first() {
		t.Error("the first list is not said to be over")
	}
}

func TestAReviewKnowsHowFarItGoes(t *testing.T) {
	x := newTeller(t)
	key := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: name} }
	expect := func(when, version string, chunks ...string) {
		t.Helper()
		want := core.Reviewed{UpTo: version, Chunks: map[types.NamespacedName]bool{}}
		for _, name := range chunks {
			want.Chunks[key(name)] = true
		}
		if diff := cmp.Diff(want, x.reviewed()); diff != "" {
			t.Errorf("reviewed %s (-want +got):\n%s", when, diff)
		}
	}
	expect("before any list", "")
	must(t, x.Replace([]any{namespaced("a", "1")}, "5"))
	expect("after a list", "5", "a")
	must(t, x.Add(namespaced("b", "6")))
	expect("after an addition", "6", "a", "b")
	must(t, x.Delete(namespaced("a", "7")))
	expect("after a deletion", "7", "b")
	must(t, x.Bookmark("9"))
	expect("after a bookmark", "9", "b")
}

func TestWhatIsNoObjectIsRefused(t *testing.T) {
	x := newTeller(t)
	for name, give := range map[string]func() error{
		"added":   func() error { return x.Add("text") },
		"deleted": func() error { return x.Delete("text") },
		"listed":  func() error { return x.Replace([]any{"text"}, "1") },
	} {
		if give() == nil {
			t.Errorf("what is no object can be %s", name)
		}
	}
	x.expect("nothing")
}
