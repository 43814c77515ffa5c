package main

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

func TestMatrixAndWhyOfARunningCluster(t *testing.T) {
	c := clustertest.Start(t, cluster.Options{})
	for name, address := range map[string]string{"a": "10.1.0.1", "b": "10.1.0.2"} {
		_, err := cluster.CreatePod(t.Context(), c.Client(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			Status:     cluster.Running(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(address)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	egress := []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	if _, err := c.Client().NetworkingV1().NetworkPolicies("default").Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "quiet"}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: egress},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := c.Kubeconfig("admin", []string{"system:masters"})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := c.Kubeconfig("stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	runLive(t, exitOK, `"rows": [ ".X", "X." ]`, "matrix", "--kubeconfig", kubeconfig, "-o", "json")
	runLive(t, exitOK, "deny: default/a → default/b TCP/80", "why", "--kubeconfig", kubeconfig, "--context", "palisade",
		"default/a", "default/b", "TCP/80")
	runLive(t, exitFailed, "palisade: the user of this context may not list namespaces, pods, services,",
		"matrix", "--kubeconfig", stranger)
	runLive(t, exitUsage, `context "other" does not exist`, "matrix", "--kubeconfig", kubeconfig, "--context", "other")
	runLive(t, exitUsage, "no such file or directory", "matrix", "--kubeconfig", filepath.Join(t.TempDir(), "none"))
}

// runLive expects a text on either output, line breaks apart.
func runLive(t *testing.T, code int, want string, args ...string) {
	t.Helper()
	w, out, stderr := testWorld()
	got := execute(t.Context(), w, append([]string{"palisade"}, args...))
	text := strings.Join(strings.Fields(out.String()+stderr.String()), " ")
	if got != code || !strings.Contains(text, want) {
		t.Errorf("palisade %s: exit code %d, want %d: %s\nwant: %s", strings.Join(args, " "), got, code, text, want)
	}
}
