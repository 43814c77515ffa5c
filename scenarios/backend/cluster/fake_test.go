package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/sim/endpointslice"
)

// fakeCluster is an API server with two nodes whose pods run at once, and whose probes reach whoever listens.
type fakeCluster struct {
	client *fake.Clientset

	mu        sync.Mutex
	addresses int
	listening map[string]string // "TCP 10.244.1.2:80" to the name that answers there
	denied    map[string]bool   // "source destination address"
	names     map[target]string // of probes
	started   map[target]int    // how often a probe's program was run
	requests  map[target][]wire.Request
	broken    int // how many programs still end at their first request
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	c := &fakeCluster{
		client: fake.NewClientset(), listening: map[string]string{}, denied: map[string]bool{},
		names: map[target]string{}, started: map[target]int{}, requests: map[target][]wire.Request{},
	}
	c.client.PrependReactor("create", "pods", c.startPod)
	c.client.PrependReactor("create", "services", c.giveAddress)
	c.client.PrependReactor("list", "endpointslices", c.listSlices)
	c.client.PrependReactor("delete", "namespaces", c.endNamespace)
	add := func(o runtime.Object) {
		if err := c.client.Tracker().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	add(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.1"}},
	})
	for i, name := range []string{"control", "worker-1", "worker-2"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)}}
		if name == "control" {
			n.Spec.Taints = []corev1.Taint{{Key: "control", Effect: corev1.TaintEffectNoSchedule}}
		}
		add(n)
	}
	return c
}

func (c *fakeCluster) backend() *Backend {
	return newBackend(Options{Image: "probe", Prefix: "run"}, c.client, c.run)
}

// startPod does what a scheduler and a kubelet do.
func (c *fakeCluster) startPod(a ktesting.Action) (bool, runtime.Object, error) {
	p := a.(ktesting.CreateAction).GetObject().(*corev1.Pod)
	if p.Spec.NodeName == "" {
		terms := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		p.Spec.NodeName = terms[0].MatchFields[0].Values[0]
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses++
	p.Status.PodIP = fmt.Sprintf("10.244.1.%d", c.addresses)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	container := p.Spec.Containers[0]
	c.names[target{p.Namespace, p.Name, container.Name}] = container.Args[slices.Index(container.Args, "--name")+1]
	return false, nil, nil // and now it is stored
}

func (c *fakeCluster) giveAddress(a ktesting.Action) (bool, runtime.Object, error) {
	svc := a.(ktesting.CreateAction).GetObject().(*corev1.Service)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses++
	svc.Spec.ClusterIP = fmt.Sprintf("10.96.1.%d", c.addresses)
	svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
	return false, nil, nil
}

// listSlices does what the EndpointSlice controller does.
func (c *fakeCluster) listSlices(a ktesting.Action) (bool, runtime.Object, error) {
	namespace := a.GetNamespace()
	services, err := c.client.Tracker().List(corev1.SchemeGroupVersion.WithResource("services"),
		corev1.SchemeGroupVersion.WithKind("Service"), namespace)
	if err != nil {
		return true, nil, err
	}
	pods, err := c.client.Tracker().List(corev1.SchemeGroupVersion.WithResource("pods"),
		corev1.SchemeGroupVersion.WithKind("Pod"), namespace)
	if err != nil {
		return true, nil, err
	}
	list := &discoveryv1.EndpointSliceList{}
	for _, e := range endpointslice.Build(pointers(services.(*corev1.ServiceList).Items), pointers(pods.(*corev1.PodList).Items), nil) {
		list.Items = append(list.Items, *e.DeepCopy())
	}
	return true, list, nil
}

func pointers[T any](items []T) []*T {
	var all []*T
	for i := range items {
		all = append(all, &items[i])
	}
	return all
}

// endNamespace takes pods along.
func (c *fakeCluster) endNamespace(a ktesting.Action) (bool, runtime.Object, error) {
	resource := corev1.SchemeGroupVersion.WithResource("pods")
	name := a.(ktesting.DeleteAction).GetName()
	pods, err := c.client.Tracker().List(resource, corev1.SchemeGroupVersion.WithKind("Pod"), name)
	if err != nil {
		return true, nil, err
	}
	for _, p := range pods.(*corev1.PodList).Items {
		err = errors.Join(err, c.client.Tracker().Delete(resource, name, p.Name))
	}
	return err != nil, nil, err
}

// run is palisade-probe in a pod.
func (c *fakeCluster) run(_ context.Context, t target, args []string, in io.Reader, out, _ io.Writer) error {
	if want := []string{"probe", "--stream"}; !slices.Equal(args, want) {
		return fmt.Errorf("arguments %q, not %q", args, want)
	}
	c.mu.Lock()
	c.started[t]++
	c.mu.Unlock()
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r wire.Request
		if err := requests.Decode(&r); err != nil {
			return nil
		}
		reply, err := c.answer(t, r)
		if err != nil {
			return err
		}
		if err := replies.Encode(reply); err != nil {
			return err
		}
	}
}

func (c *fakeCluster) answer(t target, r wire.Request) (reply wire.Reply, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken > 0 {
		c.broken--
		return reply, errors.New("the kubelet went away")
	}
	name := c.names[t]
	if name == "" {
		return reply, fmt.Errorf("there is no container %s", t)
	}
	c.requests[t] = append(c.requests[t], r)
	for _, l := range r.Listen {
		c.listening[l.Protocol+" "+l.At.String()] = name
	}
	for _, p := range r.Probes {
		result := wire.Result{Outcome: wire.Refused, Port: 20000}
		if by := c.listening[p.Protocol+" "+c.translate(p.To).String()]; by != "" {
			result = wire.Result{Outcome: wire.Connected, Answered: by, Port: 20000}
		}
		if c.denied[name+" "+p.To.Addr().String()] {
			result = wire.Result{Outcome: wire.Timeout, Port: 20000}
		}
		reply.Results = append(reply.Results, result)
	}
	for _, a := range r.Arrived {
		reply.Arrived = append(reply.Arrived, c.denied["arrives "+a.Addr.String()])
	}
	return reply, nil
}

// translate does what kube-proxy does for the only Service.
func (c *fakeCluster) translate(to netip.AddrPort) netip.AddrPort {
	if !strings.HasPrefix(to.Addr().String(), "10.96.") {
		return to
	}
	for at := range c.listening {
		if _, addr, _ := strings.Cut(at, " "); strings.HasSuffix(addr, ":8080") {
			return netip.MustParseAddrPort(addr)
		}
	}
	return to
}
