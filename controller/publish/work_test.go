package publish

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/controller/core"
	"github.com/palisade-netpol/palisade/controller/resolve"
)

// api is an API server that stores nothing: it answers a write with what was written, or refuses it.
type api struct {
	refuse func(method string) bool

	mu      sync.Mutex
	methods []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.methods = append(a.methods, r.Method)
	w.Header().Set("Content-Type", "application/json")
	if a.refuse(r.Method) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

var web = types.NamespacedName{Namespace: "shop", Name: "web"}

// newTestRunner returns a runner that writes to a and knows the policy shop/web and two pods, which are all that fits.
func newTestRunner(t *testing.T, a *api) *runner {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	r, err := newRunner(Options{
		Config: &rest.Config{Host: server.URL, QPS: -1}, Resolve: resolve.Options{ChunkSize: 2},
		Log: slog.New(slog.DiscardHandler),
	}.withDefaults())
	must(t, err)
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}}
	for _, o := range []any{np, runningPod(1), runningPod(2)} {
		r.feed(core.Seen{Object: o})
	}
	return r
}

func runningPod(i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("pod-", i)},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprint("10.0.0.", i), HostIP: "192.0.2.1"},
	}
}

// TestNoPhaseFollowsOneThatFailed: pods stay where they are until the objects that they move to are there, also while the
// process is about to end.
func TestNoPhaseFollowsOneThatFailed(t *testing.T) {
	for name, stops := range map[string]bool{"leading": false, "stopped meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			a := &api{refuse: func(string) bool { return false }}
			r := newTestRunner(t, a)
			q := r.openQueue()
			r.feed(core.Start{})
			r.reconcile(t.Context(), q, web)
			r.feed(core.Seen{Object: runningPod(3)}) // the pods move to two chunks, out of the only object
			a.refuse = func(method string) bool {
				if stops {
					r.feed(core.Stop{})
				}
				return method == http.MethodPost
			}
			a.methods = nil
			r.reconcile(t.Context(), q, web)
			if !slices.Contains(a.methods, http.MethodPost) || slices.Contains(a.methods, http.MethodPut) {
				t.Errorf("requests %v, want refused creates alone", a.methods)
			}
		})
	}
}

// TestNobodyWaitsSinceALostTerm: how long a policy waited is measured within a term of leadership.
func TestNobodyWaitsSinceALostTerm(t *testing.T) {
	r := newTestRunner(t, &api{})
	r.openQueue()
	r.feed(core.Start{})
	if since := r.waiting[web]; since.IsZero() {
		t.Fatal("the policy does not wait")
	}
	r.feed(core.Stop{})
	r.openQueue()
	if since := r.take(web); !since.IsZero() {
		t.Errorf("the policy waits since %v, in a term that is over", since)
	}
}
