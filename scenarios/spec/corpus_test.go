package spec

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
)

// corpus is the folder of all scenarios.
const corpus = ".."

// readCorpus reads all scenarios once for all tests, which do not change them.
var readCorpus = sync.OnceValues(func() ([]*Scenario, error) { return LoadAll(os.DirFS(corpus)) })

func loadCorpus(t *testing.T) []*Scenario {
	t.Helper()
	all, err := readCorpus()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func findPod(t *testing.T, c *model.Cluster, name string) *corev1.Pod {
	t.Helper()
	for _, p := range c.Pods {
		if p.Namespace+"/"+p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no pod %s", name)
	return nil
}

// TestScenarioFilesNameTheirSchema keeps editors able to check what people type.
func TestScenarioFilesNameTheirSchema(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus, "*", "*.yaml"))
	if err != nil || len(files) < 120 {
		t.Fatalf("%d scenarios found, error %v; at least 120 belong to the corpus", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		if want := "# yaml-language-server: $schema=../scenario.schema.json"; first != want {
			t.Errorf("%s: the first line is %q, not %q", file, first, want)
		}
	}
}

// TestScenariosAreSmall keeps a scenario at a second or two on real network namespaces.
func TestScenariosAreSmall(t *testing.T) {
	for _, s := range loadCorpus(t) {
		stages, err := s.Stages()
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range stages {
			if cells := len(stage.Cluster.Pods) * len(stage.Cluster.Pods) * len(stage.Ports); cells > 200 {
				t.Errorf("%s: step %q has %d cells, more than 200", s.Path(), stage.Name, cells)
			}
			if len(stage.Expect) == 0 {
				t.Errorf("%s: step %q expects nothing", s.Path(), stage.Name)
			}
		}
	}
}
