package kind

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// readyObjects is a cluster with one node and one pod of everything, all of it ready.
func readyObjects() (*corev1.Node, *appsv1.DaemonSet, *appsv1.Deployment) {
	name := func(n string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: n, Namespace: metav1.NamespaceSystem} }
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}
	proxy := &appsv1.DaemonSet{ObjectMeta: name("kube-proxy"), Status: appsv1.DaemonSetStatus{NumberReady: 1}}
	dns := &appsv1.Deployment{ObjectMeta: name("coredns"),
		Status: appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1}}
	return node, proxy, dns
}

func TestNotReadySaysWhatIsMissing(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*corev1.Node, *appsv1.DaemonSet, *appsv1.Deployment)
		want  string // in the error; "" for none
	}{
		{"all is ready", func(*corev1.Node, *appsv1.DaemonSet, *appsv1.Deployment) {}, ""},
		{"a kubelet waits", func(n *corev1.Node, _ *appsv1.DaemonSet, _ *appsv1.Deployment) {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].Message = corev1.ConditionFalse, "no CNI"
		}, "node n is not ready: no CNI"},
		{"a kubelet has gone", func(n *corev1.Node, _ *appsv1.DaemonSet, _ *appsv1.Deployment) {
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		}, "node n is not ready"},
		{"a kubelet never spoke", func(n *corev1.Node, _ *appsv1.DaemonSet, _ *appsv1.Deployment) {
			n.Status.Conditions = nil
		}, "node n has not said"},
		{"no kube-proxy", func(_ *corev1.Node, p *appsv1.DaemonSet, _ *appsv1.Deployment) {
			p.Status.NumberReady = 0
		}, "kube-proxy is ready on 0 of 1 nodes"},
		{"no CoreDNS is ready", func(_ *corev1.Node, _ *appsv1.DaemonSet, d *appsv1.Deployment) {
			d.Status.ReadyReplicas = 0
		}, "CoreDNS has 0 of 1"},
		{"CoreDNS has no pods yet", func(_ *corev1.Node, _ *appsv1.DaemonSet, d *appsv1.Deployment) {
			d.Status = appsv1.DeploymentStatus{}
		}, "CoreDNS has 0 of 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node, proxy, dns := readyObjects()
			test.spoil(node, proxy, dns)
			err := notReady(t.Context(), fake.NewClientset([]runtime.Object{node, proxy, dns}...))
			if test.want == "" && err != nil {
				t.Errorf("error: %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error: %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestPollReturnsTheLastObjection(t *testing.T) {
	objection := errors.New("kube-proxy is missing")
	err := poll(t.Context(), time.Millisecond, func(context.Context) error { return objection })
	if !errors.Is(err, objection) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v, want both the objection and that time is up", err)
	}
}

func TestPollAsksUntilThereIsNoObjection(t *testing.T) {
	asked := 0
	err := poll(t.Context(), time.Minute, func(context.Context) error {
		if asked++; asked < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 2 {
		t.Errorf("asked %d times, error: %v", asked, err)
	}
}
