package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// ownerEnv makes the test binary the owner of a cluster that it never stops.
const ownerEnv = "PALISADE_TEST_CLUSTER_OWNER"

const namespace = "shop"

var (
	nodeIP = netip.MustParseAddr("192.0.2.10")
	podIP  = netip.MustParseAddr("10.1.0.5")
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		os.Exit(ownCluster())
	}
	os.Exit(m.Run())
}

// ownCluster starts a cluster, prints its directory and waits to be killed.
func ownCluster() int {
	c, err := cluster.Start(context.Background(), cluster.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(c.Dir())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestClusterServesWhatKubernetesPromises(t *testing.T) {
	c := clustertest.Start(t, cluster.Options{Manifests: []string{"testdata/crd.yaml"}})
	fill(t, c.Client())

	t.Run("the version is stamped", func(t *testing.T) {
		version, err := c.Client().Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(version.GitVersion, "v1.") {
			t.Errorf("version %q, want v1.…", version.GitVersion)
		}
	})
	t.Run("a Service has addresses of both families", func(t *testing.T) {
		service := get(t, c.Client().CoreV1().Services(namespace).Get, "web")
		if len(service.Spec.ClusterIPs) != 2 {
			t.Errorf("clusterIPs %q, want one per family", service.Spec.ClusterIPs)
		}
	})
	t.Run("the pod keeps its status", func(t *testing.T) {
		pod := get(t, c.Client().CoreV1().Pods(namespace).Get, "web-1")
		if pod.Status.PodIP != podIP.String() || pod.Status.Phase != corev1.PodRunning {
			t.Errorf("status %+v, want running at %s", pod.Status, podIP)
		}
	})
	t.Run("the controller manager makes EndpointSlices", func(t *testing.T) {
		awaitEndpoint(t, c.Client(), podIP)
	})
	t.Run("manifests are applied", func(t *testing.T) {
		_, err := c.Client().Discovery().ServerResourcesForGroupVersion("test.palisade.invalid/v1")
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("an owner's deletion reaches custom resources", func(t *testing.T) { checkGarbageCollection(t, c) })
	t.Run("RBAC forbids what nobody granted", func(t *testing.T) { checkRBAC(t, c) })
	t.Run("kube-proxy translates ClusterIPs in a namespace", func(t *testing.T) { checkKubeProxy(t, c) })
	t.Run("a restart of the API server keeps data and credentials", func(t *testing.T) { checkRestart(t, c) })
	t.Run("stop leaves nothing", func(t *testing.T) {
		if len(processesOf(t, c.Dir())) == 0 {
			t.Fatal("no processes found while the cluster runs; the check below would prove nothing")
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		checkGone(t, c.Dir())
	})
}

// fill creates a namespace with one of each object that network policies are about.
func fill(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	_, err := client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(t, err)
	_, err = cluster.CreateNode(ctx, client, cluster.Node{Name: "node-1", Addresses: []netip.Addr{nodeIP}})
	must(t, err)
	_, err = cluster.CreatePod(ctx, client, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web-1", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		Status:     cluster.Running(nodeIP, podIP),
	})
	must(t, err)
	dual := corev1.IPFamilyPolicyPreferDualStack
	_, err = client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{
			IPFamilyPolicy: &dual,
			Selector:       map[string]string{"app": "web"},
			Ports:          []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	newPolicy(t, client, "deny-all")
}

// newPolicy creates a policy that denies all ingress.
func newPolicy(t *testing.T, client kubernetes.Interface, name string) *networkingv1.NetworkPolicy {
	t.Helper()
	policy, err := client.NetworkingV1().NetworkPolicies(namespace).Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}, metav1.CreateOptions{})
	must(t, err)
	return policy
}

// awaitEndpoint waits until some EndpointSlice of the Service lists an address as ready.
func awaitEndpoint(t *testing.T, client kubernetes.Interface, address netip.Addr) {
	t.Helper()
	clustertest.Eventually(t, func() error {
		slices, err := client.DiscoveryV1().EndpointSlices(namespace).List(t.Context(),
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil {
			return err
		}
		for _, slice := range slices.Items {
			for _, endpoint := range slice.Endpoints {
				if endpoint.Addresses[0] == address.String() && *endpoint.Conditions.Ready {
					return nil
				}
			}
		}
		return fmt.Errorf("no ready endpoint %s in %d EndpointSlices", address, len(slices.Items))
	})
}

// checkRBAC asks with a kubeconfig of an unprivileged user, before and after a role is granted.
func checkRBAC(t *testing.T, c *cluster.Cluster) {
	path, err := c.Kubeconfig("jane", []string{"auditors"})
	must(t, err)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	must(t, err)
	jane, err := kubernetes.NewForConfig(config)
	must(t, err)
	list := func() error {
		_, err := jane.NetworkingV1().NetworkPolicies(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v, want forbidden", err)
	}
	must(t, c.Apply(t.Context(), "testdata/auditors.yaml"))
	clustertest.Eventually(t, list)
	if _, err := jane.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("pods, which the role does not name: %v, want forbidden", err)
	}
}

func checkRestart(t *testing.T, c *cluster.Cluster) {
	before := get(t, c.Client().NetworkingV1().NetworkPolicies(namespace).Get, "deny-all")
	c.StopAPIServer()
	if conn, err := net.Dial("tcp", strings.TrimPrefix(c.URL(), "https://")); err == nil {
		_ = conn.Close()
		t.Error("something accepts connections while the API server is stopped")
	}
	must(t, c.StartAPIServer(t.Context()))
	after := get(t, c.Client().NetworkingV1().NetworkPolicies(namespace).Get, "deny-all")
	if before.UID != after.UID || before.ResourceVersion != after.ResourceVersion {
		t.Errorf("policy %s@%s before, %s@%s after", before.UID, before.ResourceVersion, after.UID, after.ResourceVersion)
	}
}

func TestClusterDiesWithItsOwner(t *testing.T) {
	clustertest.Binaries(t, "")
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"=1")
	owner.Stderr = os.Stderr
	_, err := owner.StdinPipe() // stays open until Wait
	must(t, err)
	stdout, err := owner.StdoutPipe()
	must(t, err)
	must(t, owner.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	dir := strings.TrimSpace(line)
	if len(processesOf(t, dir)) == 0 {
		t.Fatal("no processes found while the cluster runs; the check below would prove nothing")
	}

	must(t, owner.Process.Kill())
	_ = owner.Wait() // killed, as it should be

	clustertest.Eventually(t, func() error {
		if left := processesOf(t, dir); len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		return nil
	})
	must(t, clustertest.Start(t, cluster.Options{}).Stop()) // sweeps
	checkGone(t, dir)
}

func TestStartQuotesTheLogOfWhatFails(t *testing.T) {
	bins := clustertest.Binaries(t, "")
	_, err := cluster.Start(t.Context(), cluster.Options{BinDir: bins.Dir, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("error %v, want the API server's complaint", err)
	}
}

func TestWaitReportsAProcessThatDies(t *testing.T) {
	c := clustertest.Start(t, cluster.Options{})
	for _, pid := range processesOf(t, c.Dir(), "/etcd") {
		must(t, exec.Command("kill", "-KILL", pid).Run())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Wait(ctx); err == nil || !strings.HasPrefix(err.Error(), "etcd ended") {
		t.Errorf("Wait returned %v, want that etcd ended", err)
	}
}

// processesOf returns the ids of the processes whose command line mentions dir and all of words.
func processesOf(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	var ids []string
	for _, path := range paths {
		cmdline, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		matches := strings.Contains(string(cmdline), dir)
		for _, word := range words {
			matches = matches && strings.Contains(string(cmdline), word+"\x00")
		}
		if matches {
			ids = append(ids, filepath.Base(filepath.Dir(path)))
		}
	}
	return ids
}

// checkGone checks that neither processes nor files of a cluster are left.
func checkGone(t *testing.T, dir string) {
	t.Helper()
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("processes %q are left", left)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("state directory is left (%v)", err)
	}
}

// get reads one object or ends the test.
func get[T any](t *testing.T, get func(context.Context, string, metav1.GetOptions) (T, error), name string) T {
	t.Helper()
	object, err := get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	return object
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
