package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/palisade-netpol/palisade/deploy"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/hack/cluster/manifests"
)

// renderer is the command of hack/chart.
type renderer string

// buildRenderer builds the command. It reads all files that its output depends on, so that go test does not take an
// earlier result for one of now.
func buildRenderer(t *testing.T) renderer {
	t.Helper()
	for _, dir := range []string{"chart/palisade", "crds", "rbac", "../hack/chart"} {
		if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			_, err = os.ReadFile(path)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	r := renderer(filepath.Join(t.TempDir(), "chart"))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../hack/chart", "-o", string(r), ".").
		CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return r
}

// render renders the chart, with what helm test runs, and with values as helm's --set takes them.
func (r renderer) render(t *testing.T, values ...string) []byte {
	t.Helper()
	args := []string{"-hooks"}
	for _, v := range values {
		args = append(args, "-set", v)
	}
	return r.run(t, args...)
}

func (r renderer) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), string(r), args...)
	cmd.Dir = "../hack/chart"
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// objects reads a stream of YAML documents.
func objects(t *testing.T, stream []byte) []*unstructured.Unstructured {
	t.Helper()
	list, err := manifests.Read(stream)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// server is an API server and what it takes to write to it.
type server struct {
	*cluster.Cluster
	*manifests.Writer
}

func startServer(t *testing.T) server {
	t.Helper()
	c := clustertest.Start(t, cluster.Options{
		Controllers: []string{"daemonset-controller", "deployment-controller", "replicaset-controller"},
	})
	w, err := manifests.New(c.AdminConfig(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return server{c, w}
}

// TestAPIServerAcceptsTheManifests: a dry run is validated and admitted like the real thing.
func TestAPIServerAcceptsTheManifests(t *testing.T) {
	s, chart := startServer(t), buildRenderer(t)
	for name, c := range map[string]struct {
		manifests []byte
		objects   int // of the kinds that are run
	}{
		"as shipped":      {deploy.Install, 2},
		"with its test":   {chart.render(t), 2},
		"strict with CNI": {chart.render(t, "mode=strict", "cni.install=true"), 2},
		"nodes of kind":   {chart.render(t, "agent.bpffs.mount=true", "agent.interfacePrefixes={veth}"), 2},
		"agents only":     {chart.render(t, "controller.enabled=false"), 1},
		"pod network":     {chart.render(t, "controller.hostNetwork=false", "agent.exposeMetrics=true"), 2},
		"everything set":  {chart.render(t, everything()...), 2},
		"taken off":       {chart.render(t, "cleanup=true"), 1},
		"not enforced":    {chart.render(t, "enableNetworkPolicy=false"), 0},
		"another registry": {
			chart.render(t, "image.repository=localhost:5000/x", "image.tag=v1", "image.pullSecrets={a,b}"), 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := 0
			for _, o := range objects(t, c.manifests) {
				if err := s.Writer.Apply(t.Context(), o, metav1.DryRunAll); err != nil {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
				if kind := o.GetKind(); kind == "DaemonSet" || kind == "Deployment" {
					run++
				}
			}
			if run != c.objects {
				t.Errorf("%d workloads, want %d", run, c.objects)
			}
		})
	}
}

// everything sets what the other cases leave alone.
func everything() []string {
	return []string{
		"agent.flowEntries=1024", "agent.hook=clsact", "agent.maxUnavailable=10%", "agent.seLinuxOptions.type=spc_t",
		"agent.extraCapabilities={PERFMON}", "agent.resources.limits.memory=256Mi", "agent.extraArgs={-pprof}",
		"agent.nodeSelector.x=y", "agent.port=1234", "mayRoute={vpn/*}",
		"controller.replicas=3", "controller.resources.limits.cpu=1", "controller.extraArgs={-workers=4}",
		"controller.exposeMetrics=true", "controller.port=4321", "logLevel=debug", "flowLog=denied", "cni.onAgentDown=open", "cni.install=true",
		"agent.bpffs.mount=true",
	}
}

// TestInstalledForReal applies the manifests, and waits for a node to be offered an agent that has the rights that the
// chart promises and no others.
func TestInstalledForReal(t *testing.T) {
	s := startServer(t)
	if _, err := cluster.CreateNode(t.Context(), s.Client(), cluster.Node{
		Name: "n1", Labels: map[string]string{"kubernetes.io/os": "linux"},
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, deploy.Install) {
		if err := s.Writer.Apply(t.Context(), o); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	pod := s.awaitPod(t, "app.kubernetes.io/component=agent")
	checkRights(t, pod)
	if pod.Spec.Priority == nil || *pod.Spec.Priority < 2000000000 {
		t.Errorf("priority %v", pod.Spec.Priority)
	}
	s.awaitPod(t, "app.kubernetes.io/component=controller")
	// Applying again changes nothing.
	before := s.daemonSet(t)
	for _, o := range objects(t, deploy.Install) {
		if err := s.Writer.Apply(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if after := s.daemonSet(t); after.Generation != before.Generation {
		t.Errorf("generation %d after %d", after.Generation, before.Generation)
	}
}

func (s server) daemonSet(t *testing.T) *appsv1.DaemonSet {
	t.Helper()
	d, err := s.Client().AppsV1().DaemonSets("kube-system").Get(t.Context(), "palisade-agent", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// awaitPod waits until a controller of the cluster has created a pod with a label.
func (s server) awaitPod(t *testing.T, label string) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := s.Client().CoreV1().Pods("kube-system").Watch(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if pod, ok := event.Object.(*corev1.Pod); ok {
			return pod
		}
	}
	t.Fatalf("no pod with %s: %v", label, ctx.Err())
	return nil
}

func checkRights(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if len(pod.Spec.InitContainers) != 0 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("%d init containers, %d containers", len(pod.Spec.InitContainers), len(pod.Spec.Containers))
	}
	s := pod.Spec.Containers[0].SecurityContext
	var add []string
	for _, c := range s.Capabilities.Add {
		add = append(add, string(c))
	}
	drop := s.Capabilities.Drop
	if got := strings.Join(add, ","); got != "BPF,NET_ADMIN" || len(drop) != 1 || drop[0] != "ALL" {
		t.Errorf("capabilities %+v", s.Capabilities)
	}
	if s.Privileged != nil && *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem {
		t.Errorf("security context %+v", s)
	}
	if p := pod.Spec.SecurityContext.SeccompProfile; p == nil || p.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("seccomp %v", p)
	}
	if pod.Spec.HostPID || pod.Spec.HostIPC {
		t.Error("sees the node's processes")
	}
}

// TestManifestsAreUpToDate: CI regenerates them too, but a change of the chart should fail where it is made.
func TestManifestsAreUpToDate(t *testing.T) {
	if !bytes.Equal(buildRenderer(t).run(t), deploy.Install) {
		t.Error("manifests/palisade.yaml is not what the chart gives: run make generate")
	}
	if link, err := os.Readlink("chart/palisade/crds"); err != nil || link != "../../crds" {
		t.Errorf("crds is %q, %v: a copy would go stale", link, err)
	}
}
