package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
)

func files(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// loadText loads one document from standard input.
func loadText(text string) (*manifest.Result, error) {
	return manifest.Load([]string{"-"}, manifest.Options{Stdin: strings.NewReader(text)})
}

func mustLoad(t *testing.T, text string) *model.Cluster {
	t.Helper()
	r, err := loadText(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Cluster
}

func names[T metav1.Object](objects []T) []string {
	var all []string
	for _, o := range objects {
		all = append(all, strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))
	}
	return all
}

func pod(name string) string { return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + "}}\n" }

func TestLoadReadsFilesDirectoriesAndStdin(t *testing.T) {
	fsys := files(map[string]string{
		"one.yaml":         pod("one"),
		"dir/two.yml":      pod("two") + "---\n" + pod("three"),
		"dir/sub/x.json":   `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"}}`,
		"dir/README.md":    "not a manifest",
		"odd-name.kubectl": pod("odd"),
	})
	opts := manifest.Options{FS: fsys, Stdin: strings.NewReader(pod("stdin"))}
	r, err := manifest.Load([]string{"one.yaml", "dir", "-", "odd-name.kubectl", "./dir/two.yml"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"default/json", "default/odd", "default/one", "default/stdin", "default/three", "default/two"}
	if diff := cmp.Diff(want, names(r.Cluster.Pods)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadReadsTheMachinesFilesByAbsolutePath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pod.yaml")
	if err := os.WriteFile(file, []byte(pod("disk")), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := manifest.Load([]string{dir, file}, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"default/disk"}, names(r.Cluster.Pods)); diff != "" {
		t.Error(diff)
	}
	missing := filepath.Join(dir, "none.yaml")
	_, err = manifest.Load([]string{missing}, manifest.Options{})
	if want := missing + ": cannot be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadReadsLists(t *testing.T) {
	const list = "{apiVersion: v1, kind: List, items: ["
	for name, text := range map[string]string{
		"List":          list + pod("a") + ", " + pod("b") + "]}",
		"PodList":       "{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}}, {metadata: {name: b}}]}",
		"List in List":  list + list + pod("a, labels: {}") + ", " + pod("b") + "]}]}",
		"typed and odd": "{apiVersion: v1, kind: PodList, items: [" + pod("a") + ", {metadata: {name: b}}]}",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{"default/a", "default/b"}, names(mustLoad(t, text).Pods)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadSkipsOtherKindsWithAWarning(t *testing.T) {
	r, err := loadText(pod("a") + `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {whatever: [1, 2]}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: fn}}
`)
	if err != nil {
		t.Fatal(err)
	}
	const only = "is not read, only Namespaces, Pods, Services, Nodes, NetworkPolicies and EndpointSlices are"
	want := "<stdin>:3:1: apps/v1 Deployment web " + only + "\n<stdin>:8:1: serving.knative.dev/v1 Service fn " + only
	if diff := cmp.Diff(want, r.Warnings.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestLoadAddsNamespacesAndTheirNameLabel(t *testing.T) {
	c := mustLoad(t, `
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b, kubernetes.io/metadata.name: wrong}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: office}, spec: {}}
`)
	got := map[string]map[string]string{}
	for _, ns := range c.Namespaces {
		got[ns.Name] = ns.Labels
	}
	want := map[string]map[string]string{
		"shop":    {"a": "b", corev1.LabelMetadataName: "shop"},
		"default": {corev1.LabelMetadataName: "default"},
		"office":  {corev1.LabelMetadataName: "office"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"default", "office", "shop"}, names(c.Namespaces)); diff != "" {
		t.Errorf("namespaces are not sorted: %s", diff)
	}
}

func TestLoadDefaultsAsTheAPIServer(t *testing.T) {
	c := mustLoad(t, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {egress: [{ports: [{port: 53, protocol: UDP}, {}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: a, port: 80}, {name: b, port: 90, targetPort: http, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}
`)
	policy := c.Policies[0].Spec
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if diff := cmp.Diff(types, policy.PolicyTypes); diff != "" {
		t.Error(diff)
	}
	if got := *policy.Egress[0].Ports[0].Protocol + *policy.Egress[0].Ports[1].Protocol; got != "UDPTCP" {
		t.Errorf("policy protocols %s", got)
	}
	ports := c.Services[0].Spec.Ports
	if ports[0].TargetPort != intstr.FromInt32(80) || ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("service port %+v", ports[0])
	}
	if ports[1].TargetPort != intstr.FromString("http") || ports[1].Protocol != corev1.ProtocolUDP {
		t.Errorf("service port %+v", ports[1])
	}
	if got := c.Pods[0].Spec.Containers[0].Ports[0].Protocol; got != corev1.ProtocolTCP {
		t.Errorf("container port protocol %q", got)
	}
}

func TestLoadMakesEndpointSlices(t *testing.T) {
	c := mustLoad(t, `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {phase: Running, podIP: 10.0.0.1}
`)
	if len(c.EndpointSlices) != 1 || len(c.EndpointSlices[0].Endpoints) != 1 ||
		c.EndpointSlices[0].Endpoints[0].Addresses[0] != "10.0.0.1" {
		t.Errorf("got %+v, want one slice with 10.0.0.1", c.EndpointSlices)
	}
}

func TestLoadAcceptsWhatAnOlderAPIServerStored(t *testing.T) {
	const policy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, resourceVersion: "7"}
spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.5/8}}]}]}
`
	mustLoad(t, policy)
	if _, err := loadText(strings.Replace(policy, `resourceVersion: "7"`, "", 1)); err == nil {
		t.Error("a new object with bits beyond the CIDR's length is accepted")
	}
}

func TestLoadNamesWhatCannotBeRead(t *testing.T) {
	opts := manifest.Options{FS: files(map[string]string{"empty.yaml": "# nothing\n"})}
	for path, want := range map[string]string{
		"nowhere.yaml": "nowhere.yaml: cannot be read: file does not exist",
		"empty.yaml":   "empty.yaml: there are no objects to judge",
	} {
		_, err := manifest.Load([]string{path}, opts)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}
