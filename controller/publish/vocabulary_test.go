package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// world is a real control plane with the CRD and the roles that are shipped.
type world struct {
	*testing.T
	cluster *cluster.Cluster
	kube    kubernetes.Interface // with all rights
	chunks  rest.Interface
	options resolve.Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := clustertest.Start(t, cluster.Options{Manifests: clustertest.Shipped(t, "controller")})
	chunks, err := newChunkClient(c.AdminConfig())
	must(t, err)
	w := &world{T: t, cluster: c, kube: c.Client(), chunks: chunks}
	_, err = cluster.CreateNode(t.Context(), w.kube, cluster.Node{Name: "node-1", Addresses: []netip.Addr{nodeIP}})
	must(t, err)
	return w
}

var nodeIP = netip.MustParseAddr("192.0.2.10")

// namespace creates a namespace.
func (w *world) namespace(name string, labels map[string]string) {
	w.Helper()
	_, err := w.kube.CoreV1().Namespaces().Create(w.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	must(w.T, err)
}

// pod creates a running pod "namespace/name" labelled app=name, with a port "http" at 8080.
func (w *world) pod(key, ip string) {
	w.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	_, err := cluster.CreatePod(w.Context(), w.kube, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{
			Name: "main", Image: "none", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
		Status: cluster.Running(nodeIP, netip.MustParseAddr(ip)),
	})
	must(w.T, err)
}

// policy creates or updates the NetworkPolicy "namespace/name" from the YAML of its spec.
func (w *world) policy(key, spec string) {
	w.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	client := w.kube.NetworkingV1().NetworkPolicies(namespace)
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	must(w.T, yaml.UnmarshalStrict([]byte(spec), &np.Spec))
	if known, err := client.Get(w.Context(), name, metav1.GetOptions{}); err == nil {
		known.Spec = np.Spec
		_, err = client.Update(w.Context(), known, metav1.UpdateOptions{})
		must(w.T, err)
		return
	}
	_, err := client.Create(w.Context(), np, metav1.CreateOptions{})
	must(w.T, err)
}

func (w *world) deletePolicy(key string) {
	w.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	must(w.T, w.kube.NetworkingV1().NetworkPolicies(namespace).Delete(w.Context(), name, metav1.DeleteOptions{}))
}

// published lists all PolicyEndpoints.
func (w *world) published() []v1alpha1.PolicyEndpoint {
	w.Helper()
	var list v1alpha1.PolicyEndpointList
	must(w.T, w.chunks.Get().Resource(v1alpha1.Resource).Do(w.Context()).Into(&list))
	return list.Items
}

// chunk is what must be right about a PolicyEndpoint.
type chunk struct {
	Spec        v1alpha1.PolicyEndpointSpec
	Annotations map[string]string
	Owner       types.UID
}

func chunkOf(o *v1alpha1.PolicyEndpoint) chunk {
	return chunk{o.Spec, o.Annotations, o.OwnerReferences[0].UID}
}

// settled waits until what is published is what the objects at the API server come to.
func (w *world) settled() {
	w.Helper()
	clustertest.Eventually(w, func() error {
		got, want := map[string]chunk{}, map[string]chunk{}
		for _, o := range w.published() {
			got[o.Namespace+"/"+o.Name] = chunkOf(&o)
		}
		all, _ := resolve.All(w.snapshot(), w.options)
		for _, o := range all {
			want[o.Namespace+"/"+o.Name] = chunkOf(o)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("published (-want +got):\n%s", diff)
		}
		return nil
	})
}

// snapshot reads all objects.
func (w *world) snapshot() *resolve.Snapshot {
	w.Helper()
	ctx, s, o := w.Context(), &resolve.Snapshot{}, metav1.ListOptions{}
	namespaces, err := w.kube.CoreV1().Namespaces().List(ctx, o)
	must(w.T, err)
	pods, err := w.kube.CoreV1().Pods("").List(ctx, o)
	must(w.T, err)
	services, err := w.kube.CoreV1().Services("").List(ctx, o)
	must(w.T, err)
	endpoints, err := w.kube.DiscoveryV1().EndpointSlices("").List(ctx, o)
	must(w.T, err)
	policies, err := w.kube.NetworkingV1().NetworkPolicies("").List(ctx, o)
	must(w.T, err)
	s.Namespaces, s.Pods, s.Services = pointers(namespaces.Items), pointers(pods.Items), pointers(services.Items)
	s.EndpointSlices, s.Policies = pointers(endpoints.Items), pointers(policies.Items)
	return s
}

func pointers[T any](list []T) []*T {
	var all []*T
	for i := range list {
		all = append(all, &list[i])
	}
	return all
}

// replica is a running controller with the rights that are shipped.
type replica struct {
	*testing.T
	url  string
	log  *log
	stop func() // returns when it has ended, and fails the test if it ended with an error
	// restarts is set where the API server restarts: until it has read the roles, it refuses everybody everything.
	restarts bool
}

// start runs a controller until the end of the test or stop.
func (w *world) start(identity string) *replica {
	w.Helper()
	config, err := w.cluster.Config(cluster.ServiceAccount(clustertest.Home, "palisade-controller"))
	must(w.T, err)
	config.QPS = -1
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.T, err)
	r := &replica{T: w.T, url: "http://" + listener.Addr().String(), log: &log{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Config: config, Identity: identity, Namespace: "kube-system", Listener: listener, Resolve: w.options,
			Lease: Lease{Duration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 100 * time.Millisecond},
			Log:   slog.New(slog.NewJSONHandler(r.log, nil)),
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("%s ended: %v", identity, err)
		}
		if refused := r.log.lines("forbidden"); len(refused) > 0 && !r.restarts {
			w.Errorf("%s lacks rights:\n%s", identity, strings.Join(refused, "\n"))
		}
	})
	w.Cleanup(r.stop)
	return r
}

// metric returns a value from /metrics; 0 if there is none. name may have labels.
func (r *replica) metric(name string) float64 {
	r.Helper()
	for line := range strings.Lines(r.get("/metrics")) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+" "); found {
			n, err := strconv.ParseFloat(value, 64)
			must(r.T, err)
			return n
		}
	}
	return 0
}

// writes returns how many requests were made to write PolicyEndpoints.
func (r *replica) writes() (n float64) {
	r.Helper()
	for line := range strings.Lines(r.get("/metrics")) {
		if strings.HasPrefix(line, "palisade_controller_writes_total{") {
			value, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			must(r.T, err)
			n += value
		}
	}
	return n
}

func (r *replica) get(path string) string {
	r.Helper()
	answer, err := http.Get(r.url + path)
	must(r.T, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	must(r.T, err)
	return string(body)
}

// idle waits until the replica leads and has looked at n policies at least, and has nothing left to do.
func (r *replica) idle(n float64) {
	r.Helper()
	clustertest.Eventually(r.T, func() error {
		leading := r.metric("palisade_controller_leading")
		done := r.metric("palisade_controller_reconcile_duration_seconds_count")
		if leading != 1 || done < n || r.metric("palisade_controller_queue_depth") != 0 {
			return fmt.Errorf("leading %v, %v policies done, want 1 and %v", leading, done, n)
		}
		return nil
	})
}

// log collects lines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines returns those that contain text.
func (l *log) lines(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lacks := func(line string) bool { return !strings.Contains(line, text) }
	return slices.DeleteFunc(strings.Split(l.text.String(), "\n"), lacks)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
