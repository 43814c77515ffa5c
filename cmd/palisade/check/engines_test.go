package check

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// known are the DaemonSets that the chart is tested with too, and their engines.
type known struct {
	Engine    string `json:"engine"`
	Daemonset struct {
		Namespace  string             `json:"namespace"`
		Name       string             `json:"name"`
		Containers []corev1.Container `json:"containers"`
	} `json:"daemonset"`
}

func (k known) object() appsv1.DaemonSet {
	d := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: k.Daemonset.Namespace, Name: k.Daemonset.Name}}
	d.Spec.Template.Spec.Containers = k.Daemonset.Containers
	return d
}

func TestEnginesAreRecognised(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/testdata/daemonsets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []known
	if err := yaml.UnmarshalStrict(data, &list); err != nil || len(list) < 10 {
		t.Fatalf("%d DaemonSets, %v", len(list), err)
	}
	for _, k := range list {
		var want, got []string
		if k.Engine != "" {
			want = []string{k.Engine}
		}
		for _, e := range mustEngines(t) {
			if e.runs(k.object()) {
				got = append(got, e.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", k.Daemonset, diff)
		}
	}
}

func mustEngines(t *testing.T) []engine {
	t.Helper()
	list, err := engines()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestListOfEngines: an entry that nothing recognises, or that says nothing of what to do, helps nobody.
func TestListOfEngines(t *testing.T) {
	for _, e := range mustEngines(t) {
		if e.Name == "" || len(e.Daemonsets) == 0 || e.Remedy == "" {
			t.Errorf("entry %+v is incomplete", e)
		}
		for _, ours := range append(ourPrograms(), "palisade") {
			if begins(ours, e.Programs) || begins(ours, e.Rules) {
				t.Errorf("%s claims %s", e.Name, ours)
			}
		}
	}
}
