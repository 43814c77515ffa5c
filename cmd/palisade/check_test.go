package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/cmd/palisade/check"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// checkBed is a cluster with one node, of which the statuses are written by the test.
type checkBed struct {
	*testing.T
	*cluster.Cluster
	admin string // path of a kubeconfig
}

func newCheckBed(t *testing.T) checkBed {
	t.Helper()
	b := checkBed{T: t, Cluster: clustertest.Start(t, cluster.Options{})}
	_, err := cluster.CreateNode(t.Context(), b.Client(), cluster.Node{
		Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	})
	b.must(err)
	b.admin, err = b.Kubeconfig("admin", []string{"system:masters"})
	b.must(err)
	return b
}

func (b checkBed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// install applies the chart with what helm test adds to it.
func (b checkBed) install() {
	b.Helper()
	file := filepath.Join(b.TempDir(), "palisade.yaml")
	render := exec.CommandContext(b.Context(), "go", "run", "-C", "../../hack/chart", ".", "-hooks", "-o", file)
	if out, err := render.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v: %s", render, err, out)
	}
	b.must(b.Apply(b.Context(), file))
}

// runsEverywhere writes the statuses that kubelets and controllers would.
func (b checkBed) runsEverywhere() {
	b.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "palisade", "app.kubernetes.io/component": "agent"}
	_, err := cluster.CreatePod(b.Context(), b.Client(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "palisade-agent-x", Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		Status:     cluster.Running(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.1")),
	})
	b.must(err)
	_, err = b.Client().AppsV1().Deployments("kube-system").Patch(b.Context(), "palisade-controller",
		types.MergePatchType, []byte(`{"status": {"replicas": 2, "readyReplicas": 2}}`), metav1.PatchOptions{}, "status")
	b.must(err)
}

func TestCheckBeforeAndAfterInstallation(t *testing.T) {
	b := newCheckBed(t)
	runLive(t, exitOK, "before installation ✓ Kubernetes v1.", "check", "--kubeconfig", b.admin)
	stranger, err := b.Kubeconfig("stranger", nil)
	b.must(err)
	runLive(t, exitFailed, "palisade: 0 of 5 checks failed, and 4 could not be made", "check", "--kubeconfig", stranger)

	selector := metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	calico := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "calico-node"}}
	calico.Spec.Selector = &selector
	calico.Spec.Template.Labels = selector.MatchLabels
	calico.Spec.Template.Spec.Containers = []corev1.Container{{Name: "calico-node", Image: "i"}}
	_, err = b.Client().AppsV1().DaemonSets("default").Create(t.Context(), calico, metav1.CreateOptions{})
	b.must(err)
	runLive(t, exitFailed, "✗ other engines enforce policies here: Calico (DaemonSet default/calico-node) → remove",
		"check", "--kubeconfig", b.admin)
	b.must(b.Client().AppsV1().DaemonSets("default").Delete(t.Context(), "calico-node", metav1.DeleteOptions{}))

	// From here on as helm test asks: with the rights of its ServiceAccount.
	b.install()
	account, err := b.Kubeconfig("system:serviceaccount:kube-system:palisade-check", []string{"system:serviceaccounts"})
	b.must(err)
	ask := []string{"check", "--phase", "after", "--kubeconfig", account}
	runLive(t, exitFailed, "✗ no agent is ready on 1 of 1 nodes: n1", ask...)
	runLive(t, exitFailed, "palisade: 2 of 7 checks failed", ask...)
	b.runsEverywhere()
	runLive(t, exitOK, "✓ an agent is ready on each of 1 nodes ✓ all of 0 NetworkPolicies are published completely", ask...)
	reports := b.reports(ask)
	if len(reports) != 1 || reports[0].Phase != check.After || reports[0].Count(check.OK) != 7 {
		t.Errorf("reports %+v", reports)
	}
}

// reports asks for JSON.
func (b checkBed) reports(args []string) []check.Report {
	b.Helper()
	w, out, stderr := testWorld()
	if code := execute(b.Context(), w, append(append([]string{"palisade"}, args...), "-o", "json")); code != exitOK {
		b.Fatalf("exit code %d: %s", code, stderr)
	}
	var reports []check.Report
	b.must(json.Unmarshal([]byte(out.String()), &reports))
	return reports
}

// TestCheckOfThisMachine needs no cluster. What it finds depends on the machine, so only the form is certain.
func TestCheckOfThisMachine(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	w, out, stderr := testWorld()
	code := execute(t.Context(), w, []string{"palisade", "check", "--node", "--phase", "before"})
	failed := strings.Contains(out.String(), "\n✗ ") || strings.Contains(out.String(), "\n- ")
	if (code == exitFailed) != failed || (code == exitOK) == failed {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if !strings.HasPrefix(out.String(), "node "+name+", before installation\n") {
		t.Errorf("printed %s", out)
	}
}
