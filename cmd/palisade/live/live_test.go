package live_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/cmd/palisade/live"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

var nodeIP = netip.MustParseAddr("192.0.2.10")

func meta(name string, labels ...string) metav1.ObjectMeta {
	set := map[string]string{}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		set[key] = value
	}
	return metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: set}
}

// furnish creates a node and, in the namespace shop, a Service of web, which db may not call.
func furnish(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	_, err := client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	must(t, err)
	_, err = cluster.CreateNode(ctx, client, cluster.Node{Name: "n1", Addresses: []netip.Addr{nodeIP}})
	must(t, err)
	for i, name := range []string{"web", "client", "db"} {
		createPod(t, client, name, cluster.Running(nodeIP, netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)})))
	}
	done := cluster.Running(nodeIP, netip.MustParseAddr("10.1.0.1"))
	done.Phase = corev1.PodSucceeded
	createPod(t, client, "done", done)
	_, err = client.CoreV1().Services("shop").Create(ctx, &corev1.Service{
		ObjectMeta: meta("web"),
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	must(t, err)
	from := []networkingv1.NetworkPolicyPeer{{
		PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}},
	}}
	_, err = client.NetworkingV1().NetworkPolicies("shop").Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: meta("clients-only"),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: from}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
}

func createPod(t *testing.T, client kubernetes.Interface, name string, status corev1.PodStatus) {
	t.Helper()
	_, err := cluster.CreatePod(t.Context(), client, &corev1.Pod{
		ObjectMeta: meta(name, "app="+name),
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		Status:     status,
	})
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadsARealAPIServer(t *testing.T) {
	c := clustertest.Start(t, cluster.Options{})
	furnish(t, c.Client())
	t.Run("objects", func(t *testing.T) { readsObjects(t, c) })
	t.Run("pages", func(t *testing.T) { readsPages(t, c) })
	t.Run("view", func(t *testing.T) { isContentWithView(t, c) })
	t.Run("forbidden", func(t *testing.T) { namesMissingPermissions(t, c) })
	t.Run("unauthorized", func(t *testing.T) {
		config := c.AdminConfig()
		config.CertData, config.KeyData = nil, nil
		config.BearerToken = "wrong"
		refused(t, config, "does not accept the credentials of this context")
	})
}

func read(t *testing.T, config *rest.Config) *model.Cluster {
	t.Helper()
	reader, err := live.NewReader(config)
	must(t, err)
	c, warnings, err := reader.Cluster(t.Context())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %q", err, warnings)
	}
	return c
}

func readsObjects(t *testing.T, c *cluster.Cluster) {
	got := read(t, c.AdminConfig())
	pods := map[string]model.Endpoint{}
	for _, p := range got.Pods {
		pods[p.Name] = model.Endpoint{Pod: p}
	}
	m := model.New(got)
	for _, ask := range []struct {
		from, to string
		want     flow.Verdict
	}{
		{"client", "web", flow.Allow}, {"db", "web", flow.Deny}, {"web", "db", flow.Allow},
		{"client", "done", flow.Undefined},
	} {
		q := model.Query{From: pods[ask.from], To: pods[ask.to], PortProto: flow.PortProto{Protocol: flow.TCP, Port: 80}}
		if v := m.Decide(q).Verdict; v != ask.want {
			t.Errorf("%s to %s: %s, want %s", ask.from, ask.to, v, ask.want)
		}
	}
	if len(got.Nodes) != 1 || len(got.Policies) != 1 || len(got.Services) < 2 || len(got.Namespaces) < 4 {
		t.Errorf("%d nodes, %d policies, %d services, %d namespaces",
			len(got.Nodes), len(got.Policies), len(got.Services), len(got.Namespaces))
	}
}

// readsPages: more objects than fit on a page.
func readsPages(t *testing.T, c *cluster.Cluster) {
	const many = 1100
	create := func(ctx context.Context, i int) error {
		_, err := c.Client().NetworkingV1().NetworkPolicies("default").Create(ctx, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)},
		}, metav1.CreateOptions{})
		return err
	}
	for i := range many {
		must(t, create(t.Context(), i))
	}
	names := map[string]bool{}
	for _, p := range read(t, c.AdminConfig()).Policies {
		names[p.Namespace+"/"+p.Name] = true
	}
	if len(names) != many+1 {
		t.Errorf("%d policies, want %d", len(names), many+1)
	}
}

// isContentWithView: the role that people give to those who may only look does not show Nodes.
func isContentWithView(t *testing.T, c *cluster.Cluster) {
	_, err := c.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "viewer"}},
	}, metav1.CreateOptions{})
	must(t, err)
	viewer, err := c.Config("viewer", nil)
	must(t, err)
	reader, err := live.NewReader(viewer)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for { // RBAC takes a moment to learn of a new binding
		got, warnings, err := reader.Cluster(ctx)
		if err == nil {
			want := []string{"nodes may not be listed, so they are known only from their pods"}
			if diff := cmp.Diff(want, warnings); diff != "" || len(got.Pods) != 4 || len(got.Nodes) != 0 {
				t.Errorf("%d pods, %d nodes, warnings (-want +got):\n%s", len(got.Pods), len(got.Nodes), diff)
			}
			return
		}
		if !strings.Contains(err.Error(), "may not list") {
			t.Fatal(err)
		}
	}
}

func namesMissingPermissions(t *testing.T, c *cluster.Cluster) {
	nobody, err := c.Config("nobody", nil)
	must(t, err)
	refused(t, nobody, "the user of this context may not list namespaces, pods, services, "+
		"endpointslices.discovery.k8s.io, networkpolicies.networking.k8s.io in all of the cluster https://127.0.0.1")
}

// refused expects an error of one line.
func refused(t *testing.T, config *rest.Config, want string) {
	t.Helper()
	reader, err := live.NewReader(config)
	must(t, err)
	_, _, err = reader.Cluster(t.Context())
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestUnreachableServerIsNamed(t *testing.T) {
	refused(t, &rest.Config{Host: "https://127.0.0.1:1"},
		"the API server https://127.0.0.1:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused")
}

func TestContextThatDoesNotExistIsNamed(t *testing.T) {
	_, err := live.Connect(live.Options{Kubeconfig: t.TempDir() + "/none"})
	if err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("error %v", err)
	}
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	if _, err := live.Connect(live.Options{Context: "prod"}); err == nil || !strings.Contains(err.Error(), `"prod"`) {
		t.Errorf("error %v", err)
	}
}
