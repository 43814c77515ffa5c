package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/publish"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// mainEnv makes the test binary the command.
const mainEnv = "PALISADE_TEST_RUN_CONTROLLER"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// home is the namespace that the shipped manifests run the command in.
const home = clustertest.Home

// account is the identity under which they run it.
func account() (user string, groups []string) {
	return cluster.ServiceAccount(home, "palisade-controller")
}

// world is a control plane with the shipped manifests.
type world struct {
	*testing.T
	*cluster.Cluster
	roles string // the file that says what the command may do
	audit string // the file that tells who asked for what
}

func newWorld(t *testing.T) *world {
	t.Helper()
	policy, err := filepath.Abs("testdata/audit-policy.yaml")
	must(t, err)
	shipped := clustertest.Shipped(t, "controller")
	w := &world{T: t, roles: shipped[len(shipped)-1], audit: filepath.Join(t.TempDir(), "audit.log")}
	w.Cluster = clustertest.Start(t, cluster.Options{
		Manifests:     shipped,
		APIServerArgs: []string{"--audit-policy-file=" + policy, "--audit-log-path=" + w.audit},
	})
	return w
}

// process is a running command.
type process struct {
	*exec.Cmd
	output *output
	end    func() error // waits for the end, and may be called again
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the command with the rights that are shipped.
func (w *world) start(identity string, args ...string) *process {
	w.Helper()
	kubeconfig, err := w.Kubeconfig(account())
	must(w.T, err)
	p := &process{Cmd: exec.Command(os.Args[0], append([]string{
		"--kubeconfig", kubeconfig, "--identity", identity, "--listen", "127.0.0.1:0", "--lease-duration", "2s",
		"--lease-renew-deadline", "1s", "--lease-retry-period", "100ms",
	}, args...)...), output: &output{}}
	p.Env = append(os.Environ(), mainEnv+"=1")
	p.Stderr = p.output
	must(w.T, p.Start())
	p.end = sync.OnceValue(p.Wait)
	w.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.end()
		if w.Failed() {
			w.Logf("%s:\n%s", identity, p.output)
		}
	})
	return p
}

// leader returns the identity that holds the Lease.
func (w *world) leader() string {
	lease, err := w.Client().CoordinationV1().Leases(home).Get(w.Context(), publish.LeaseName, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// leads waits for a leader.
func (w *world) leads(identity string) {
	w.Helper()
	clustertest.Eventually(w, func() error {
		if l := w.leader(); l != identity {
			return fmt.Errorf("the leader is %q, want %q", l, identity)
		}
		return nil
	})
}

func (w *world) policy(name string, rule networkingv1.NetworkPolicyIngressRule) {
	w.Helper()
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{rule}
	_, err := w.Client().NetworkingV1().NetworkPolicies("default").Create(w.Context(), np, metav1.CreateOptions{})
	must(w.T, err)
}

// published waits until policies have so many PolicyEndpoints, in all.
func (w *world) published(n int) {
	w.Helper()
	client, err := dynamic.NewForConfig(w.AdminConfig())
	must(w.T, err)
	clustertest.Eventually(w, func() error {
		list, err := client.Resource(v1alpha1.GroupVersionResource()).List(w.Context(), metav1.ListOptions{})
		must(w.T, err)
		if len(list.Items) != n {
			return fmt.Errorf("%d PolicyEndpoints, want %d", len(list.Items), n)
		}
		return nil
	})
}

// TestLeaderIsKilled: the other replica takes over when the Lease has run out, with the rights that are shipped.
func TestLeaderIsKilled(t *testing.T) {
	w := newWorld(t)
	first := w.start("first")
	w.leads("first")
	second := w.start("second")
	w.policy("one", networkingv1.NetworkPolicyIngressRule{})
	w.published(1)
	must(t, first.Process.Kill())
	w.policy("two", networkingv1.NetworkPolicyIngressRule{})
	w.published(2)
	w.leads("second")
	must(t, second.Process.Signal(os.Interrupt))
	if err := second.end(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if l := w.leader(); l != "" {
		t.Errorf("%q holds the Lease after it ended", l)
	}
}

// TestRights: the command needs every right that is shipped, and lacks none.
func TestRights(t *testing.T) {
	w := newWorld(t)
	p := w.start("only", "--chunk-size", "1")
	w.leads("only")
	w.policy("web", networkingv1.NetworkPolicyIngressRule{
		Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromString("unknown"))}},
	})
	w.published(1)
	for i, chunks := range []int{1, 3} { // with the second pod, the set is split: a head and one for each
		_, err := cluster.CreatePod(t.Context(), w.Client(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("pod-%d", i)},
			Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			Status:     cluster.Running(netip.MustParseAddr("192.0.2.1"), netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)})),
		})
		must(t, err)
		w.published(chunks)
	}
	must(t, cluster.DeletePod(t.Context(), w.Client(), "default", "pod-0"))
	w.published(1)
	if said := p.output.String(); strings.Contains(said, "forbidden") {
		t.Errorf("rights are missing:\n%s", said)
	}
	clustertest.Eventually(w, w.compareRights)
}

// TestForbidden: what a stolen credential of the controller cannot do.
func TestForbidden(t *testing.T) {
	w := newWorld(t)
	config, err := w.Config(account())
	must(t, err)
	client, err := dynamic.NewForConfig(config)
	must(t, err)
	for _, a := range []struct{ verb, group, version, resource, namespace, name string }{
		{"list", "", "v1", "secrets", home, ""},
		{"get", "", "v1", "secrets", home, "s"},
		{"get", "", "v1", "configmaps", home, "amazon-vpc-cni"},
		{"list", "", "v1", "nodes", "", ""},
		{"get", "", "v1", "pods", "default", "p"},
		{"delete", "", "v1", "pods", "default", "p"},
		{"delete", "", "v1", "services", "default", "kubernetes"},
		{"delete", "", "v1", "namespaces", "", "default"},
		{"delete", "networking.k8s.io", "v1", "networkpolicies", "default", "p"},
		{"delete", "coordination.k8s.io", "v1", "leases", home, publish.LeaseName},
		{"get", "coordination.k8s.io", "v1", "leases", home, "another"},
		{"get", "coordination.k8s.io", "v1", "leases", "default", publish.LeaseName},
		{"list", "events.k8s.io", "v1", "events", "default", ""},
		{"list", "rbac.authorization.k8s.io", "v1", "clusterroles", "", ""},
	} {
		resource := client.Resource(gvr(a.group, a.version, a.resource)).Namespace(a.namespace)
		switch a.verb {
		case "list":
			_, err = resource.List(t.Context(), metav1.ListOptions{})
		case "get":
			_, err = resource.Get(t.Context(), a.name, metav1.GetOptions{})
		case "delete":
			err = resource.Delete(t.Context(), a.name, metav1.DeleteOptions{})
		}
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s %s %s/%s: %v, want forbidden", a.verb, a.resource, a.namespace, a.name, err)
		}
	}
}

func TestUsage(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"help":             {[]string{"--help"}, 0, "-kubeconfig"},
		"unknown flag":     {[]string{"--nonsense"}, exitUsage, "nonsense"},
		"an argument":      {[]string{"nonsense"}, exitUsage, `unexpected argument "nonsense"`},
		"bad level":        {[]string{"--log-level", "loud"}, exitUsage, "loud"},
		"no such config":   {[]string{"--kubeconfig", "/nonexistent"}, exitUsage, "connection to the API server"},
		"outside clusters": {nil, exitUsage, "connection to the API server"},
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(context.Background(), tt.args, &out); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit code %d, want %d; output, which should contain %q:\n%s", code, tt.code, tt.says, &out)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
