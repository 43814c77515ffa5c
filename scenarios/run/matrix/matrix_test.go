package matrix_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
)

func pod(key, ip string, ports ...corev1.ContainerPort) *corev1.Pod {
	namespace, name, _ := strings.Cut(key, "/")
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
	}
}

// denyTo judges by the destination's name, and keeps the queries it was asked.
type denyTo struct {
	name  string
	err   error
	mu    sync.Mutex
	asked []model.Query
}

func (d *denyTo) Verdict(q model.Query) (flow.Verdict, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, q)
	if q.To.Pod.Name == d.name {
		return flow.Deny, d.err
	}
	return flow.Allow, nil
}

func TestComputeSortsByNamespaceThenName(t *testing.T) {
	c := &model.Cluster{Pods: []*corev1.Pod{
		pod("b/a", "10.0.0.1"), pod("a/z", "10.0.0.2"), pod("a-b/c", "10.0.0.3"), pod("a/b", "10.0.0.4"),
	}}
	probe := flow.PortProto{Protocol: flow.UDP, Port: 53}
	got, err := matrix.Compute(t.Context(), matrix.All(c), []flow.PortProto{probe}, 0, &denyTo{name: "z"})
	want := []matrix.Matrix{{
		Probe: probe, From: []string{"a/b", "a/z", "a-b/c", "b/a"}, To: []string{"a/b", "a/z", "a-b/c", "b/a"},
		Rows: []string{".X..", "....", ".X..", ".X.."},
	}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, matrices (-want +got):\n%s", err, diff)
	}
}

func TestComputePassesProbeAndFamilyOn(t *testing.T) {
	c := &model.Cluster{Pods: []*corev1.Pod{pod("n/a", "10.0.0.1"), pod("n/b", "10.0.0.2")}}
	judge := &denyTo{}
	probe := flow.PortProto{Protocol: flow.TCP, Port: 443}
	if _, err := matrix.Compute(t.Context(), matrix.All(c), []flow.PortProto{probe}, flow.IPv6, judge); err != nil {
		t.Fatal(err)
	}
	if len(judge.asked) != 2 {
		t.Errorf("asked %d times, want 2: no pod needs permission to reach itself", len(judge.asked))
	}
	for _, q := range judge.asked {
		if q.PortProto != probe || q.Family != flow.IPv6 || q.From.Pod == q.To.Pod {
			t.Errorf("asked %+v", q)
		}
	}
}

func TestComputeLeavesPodsWithoutNetworkUndefined(t *testing.T) {
	ended, failed, pending := pod("n/b", "10.0.0.2"), pod("n/c", "10.0.0.3"), pod("n/d", "")
	ended.Status.Phase = corev1.PodSucceeded
	failed.Status.Phase = corev1.PodFailed
	c := &model.Cluster{Pods: []*corev1.Pod{pod("n/a", "10.0.0.1"), ended, failed, pending}}
	got, err := matrix.Compute(t.Context(), matrix.All(c), matrix.DefaultProbes(c), 0, &denyTo{})
	if want := []string{".???", "????", "????", "????"}; err != nil || !cmp.Equal(want, got[0].Rows) {
		t.Errorf("error %v, rows %q, want %q", err, got[0].Rows, want)
	}
}

func TestComputeIsTheSameForAnyNumberOfJudges(t *testing.T) {
	c := &model.Cluster{}
	for i := range 40 {
		c.Pods = append(c.Pods, pod("n/"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "10.0.0.1"))
	}
	probes := []flow.PortProto{{Protocol: flow.TCP, Port: 1}, {Protocol: flow.TCP, Port: 2}}
	judge := &denyTo{name: "c"}
	one, err := matrix.Compute(t.Context(), matrix.All(c), probes, 0, judge)
	if err != nil {
		t.Fatal(err)
	}
	many, err := matrix.Compute(t.Context(), matrix.All(c), probes, 0, judge, judge, judge, judge)
	if diff := cmp.Diff(one, many); diff != "" || err != nil {
		t.Errorf("error %v, matrices of one and of four judges differ:\n%s", err, diff)
	}
}

func TestComputeReportsTheJudgesError(t *testing.T) {
	c := &model.Cluster{Pods: []*corev1.Pod{pod("n/a", "10.0.0.1"), pod("n/b", "10.0.0.2")}}
	broken := errors.New("no verdict")
	_, err := matrix.Compute(t.Context(), matrix.All(c), matrix.DefaultProbes(c), 0, &denyTo{name: "b", err: broken})
	if !errors.Is(err, broken) || err.Error() != "judge TCP/80 from n/a to n/b: no verdict" {
		t.Errorf("error %v", err)
	}
}

func TestComputeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &model.Cluster{Pods: []*corev1.Pod{pod("n/a", "10.0.0.1")}}
	_, err := matrix.Compute(ctx, matrix.All(c), matrix.DefaultProbes(c), 0, &denyTo{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestDefaultProbesAreTheDeclaredPorts(t *testing.T) {
	sidecar := pod("n/c", "10.0.0.3")
	sidecar.Spec.InitContainers = []corev1.Container{
		{RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{ContainerPort: 15090}}},
		{Ports: []corev1.ContainerPort{{ContainerPort: 9}}},
	}
	c := &model.Cluster{Pods: []*corev1.Pod{
		pod("n/a", "10.0.0.1", corev1.ContainerPort{ContainerPort: 8080},
			corev1.ContainerPort{ContainerPort: 53, Protocol: corev1.ProtocolUDP}),
		pod("n/b", "10.0.0.2", corev1.ContainerPort{ContainerPort: 80, Protocol: corev1.ProtocolTCP},
			corev1.ContainerPort{ContainerPort: 8080}),
		sidecar,
	}}
	var got []string
	for _, p := range matrix.DefaultProbes(c) {
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"TCP/80", "TCP/8080", "TCP/15090", "UDP/53"}, got); diff != "" {
		t.Errorf("probes (-want +got):\n%s", diff)
	}
	none := matrix.DefaultProbes(&model.Cluster{Pods: []*corev1.Pod{pod("n/a", "10.0.0.1")}})
	if want := []flow.PortProto{{Protocol: flow.TCP, Port: 80}}; !cmp.Equal(want, none) {
		t.Errorf("probes of a cluster without ports: %v", none)
	}
}
