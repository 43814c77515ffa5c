package kind

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestPodsThatAreMissing(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want int32
	}{
		"a DaemonSet that is ready":      {"{kind: DaemonSet, status: {desiredNumberScheduled: 3, numberReady: 3, updatedNumberScheduled: 3}}", 0},
		"one pod is not ready":           {"{kind: DaemonSet, status: {desiredNumberScheduled: 3, numberReady: 2, updatedNumberScheduled: 3}}", 1},
		"two pods are of the old kind":   {"{kind: DaemonSet, status: {desiredNumberScheduled: 3, numberReady: 3, updatedNumberScheduled: 1}}", 2},
		"nobody has looked at it yet":    {"{kind: DaemonSet, metadata: {generation: 2}, status: {observedGeneration: 1, desiredNumberScheduled: 3, numberReady: 3, updatedNumberScheduled: 3}}", 1},
		"no node is found yet":           {"{kind: DaemonSet}", 1},
		"a Deployment that is ready":     {"{kind: Deployment, spec: {replicas: 2}, status: {readyReplicas: 2, updatedReplicas: 2}}", 0},
		"a Deployment that is not":       {"{kind: Deployment, spec: {replicas: 2}, status: {readyReplicas: 1, updatedReplicas: 2}}", 1},
		"what has no pods is not waited": {"{kind: ClusterRole}", 0},
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(c.text), &o.Object); err != nil {
			t.Fatal(err)
		}
		if got, err := missing(o); err != nil || got != c.want {
			t.Errorf("%s: %d missing, error %v, want %d", name, got, err, c.want)
		}
	}
}

func TestWithoutTheSourceTreeThereIsNoCluster(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := New(Options{}).Available(); err == nil || !strings.HasPrefix(err.Error(), "backend kind ") {
		t.Errorf("available: %v", err)
	}
	b := New(Options{})
	if err := b.Close(); err != nil {
		t.Errorf("a cluster that was never made is removed: %v", err)
	}
	_, err := b.run(t.Context(), "./hack/kind/cmd/kind", "up")
	if err == nil || !strings.Contains(err.Error(), "kind up: ") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tool that is not there: %v", err)
	}
}
