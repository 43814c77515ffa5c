//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// metropolis is a made-up cluster: pods are spread over the namespaces, 50 apps and 50 nodes; each policy has two rules
// per direction, each with an app of its own namespace, a tier of other namespaces and a block of addresses.
type metropolis struct {
	pods, policies, namespaces int
	everybody                  bool // every policy selects all pods of its namespace, else those of one tier
}

func (m metropolis) objects() []any {
	var objects []any
	for i := range m.namespaces {
		meta := metav1.ObjectMeta{Name: fmt.Sprint("ns", i), Labels: map[string]string{"team": fmt.Sprint(i % 5)}}
		kind := metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}
		objects = append(objects, &corev1.Namespace{TypeMeta: kind, ObjectMeta: meta})
	}
	for i := range m.pods {
		objects = append(objects, m.pod(i))
	}
	for i := range m.policies {
		objects = append(objects, m.policy(i))
	}
	return objects
}

func (m metropolis) meta(kind string, i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: fmt.Sprint("ns", i%m.namespaces), Name: fmt.Sprint(kind, i)}
}

func (m metropolis) pod(i int) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: m.meta("pod", i)}
	p.Labels = map[string]string{"app": fmt.Sprint(i % 50), "tier": fmt.Sprint(i % 8)}
	p.Spec.NodeName = fmt.Sprint("node", i%50)
	ports := []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i", Ports: ports}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
	return p
}

func (m metropolis) policy(i int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}, ObjectMeta: m.meta("policy", i),
	}
	if !m.everybody {
		p.Spec.PodSelector = *labelled("tier", i%8)
	}
	for r := range 2 {
		peers := []networkingv1.NetworkPolicyPeer{
			{PodSelector: labelled("app", (i+r)%50)},
			{NamespaceSelector: labelled("team", (i+r)%5), PodSelector: labelled("tier", (i*3+r)%8)},
			{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.0.%d.%d/27", i%4, (i*7+r)%8*32)}},
		}
		number, name := intstr.FromInt32(8080-8000*int32(i%2)), intstr.FromString("http")
		ports := []networkingv1.NetworkPolicyPort{{Port: &number}, {Port: &name}}
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
	}
	return p
}

func labelled(key string, value int) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: fmt.Sprint(value)}}
}

// write writes the objects as kubectl get -o json does.
func (m metropolis) write(b *testing.B) string {
	b.Helper()
	data, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": m.objects()}, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "metropolis.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkMatrix runs the program as people do, on manifests of big clusters, and fails where it needs more time or
// memory than is promised.
func BenchmarkMatrix(b *testing.B) {
	for _, c := range []struct {
		name string
		metropolis
		limit time.Duration
		bytes int64
	}{
		{"1000-pods-500-policies", metropolis{1000, 500, 20, false}, 5 * time.Second, 500e6},
		{"1000-pods-500-policies-for-everybody", metropolis{1000, 500, 4, true}, 5 * time.Second, 500e6},
		{"1000-pods-500-policies-in-one-namespace", metropolis{1000, 500, 1, true}, 5 * time.Second, 500e6},
		{"2000-pods-100-policies", metropolis{2000, 100, 20, false}, 8 * time.Second, 500e6},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := c.write(b)
			var memory int64
			for b.Loop() {
				start := time.Now()
				memory = max(memory, runMatrix(b, path))
				if took := time.Since(start); took > c.limit || memory > c.bytes {
					b.Errorf("took %v and %d MB, promised are %v and %d MB", took, memory/1e6, c.limit, c.bytes/1e6)
				}
			}
			b.ReportMetric(float64(memory)/1e6, "peak-MB")
		})
	}
}

// runMatrix returns the peak of the program's resident memory, in bytes.
func runMatrix(b *testing.B, path string) int64 {
	b.Helper()
	command := exec.CommandContext(b.Context(), "palisade", "matrix", "-f", path, "--probe", "TCP/80", "-o", "json")
	if out, err := command.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss * 1024
}
