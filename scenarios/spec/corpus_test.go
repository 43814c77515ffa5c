package spec

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// corpus is the folder of all scenarios.
const corpus = ".."

func loadCorpus(t *testing.T) []*Scenario {
	t.Helper()
	all, err := LoadAll(os.DirFS(corpus))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestModelMeetsExpectations compares what people wrote with what the reference model says, in both directions of
// doubt: a difference is a mistake in the scenario or in the model, to be settled by the specification.
func TestModelMeetsExpectations(t *testing.T) {
	for _, s := range loadCorpus(t) {
		t.Run(s.Metadata.Name, func(t *testing.T) {
			stages, err := s.Stages()
			if err != nil {
				t.Fatal(err)
			}
			for _, stage := range stages {
				m := model.New(stage.Cluster)
				for _, e := range stage.Expect {
					d := m.Decide(query(t, stage.Cluster, e))
					if d.Verdict != e.Verdict {
						t.Errorf("%s:%d:%d: step %q: %s to %s%s at %s over %s: the model says %s: %+v", s.Path(), e.Line, e.Col,
							stage.Name, e.From, e.To, e.Service, e.PortProto, e.Family, d.Verdict, d)
					}
				}
			}
		})
	}
}

func query(t *testing.T, c *model.Cluster, e Expectation) model.Query {
	q := model.Query{From: endpoint(t, c, e.From), PortProto: e.PortProto, Family: e.Family}
	if e.Service == "" {
		q.To = endpoint(t, c, e.To)
		return q
	}
	for _, s := range c.Services {
		if s.Namespace+"/"+s.Name == e.Service {
			q.To.Addr = ofFamily(t, s.Spec.ClusterIPs, e.Family)
		}
	}
	return q
}

func ofFamily(t *testing.T, ips []string, f flow.Family) netip.Addr {
	for _, ip := range ips {
		if a := netip.MustParseAddr(ip); flow.FamilyOf(a) == f {
			return a
		}
	}
	t.Fatalf("none of %v is %s", ips, f)
	return netip.Addr{}
}

func endpoint(t *testing.T, c *model.Cluster, name string) model.Endpoint {
	if name, ok := strings.CutPrefix(name, "node/"); ok {
		for _, n := range c.Nodes {
			if n.Name == name {
				return model.Endpoint{Node: n}
			}
		}
	}
	return model.Endpoint{Pod: findPod(t, c, name)}
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
	if err != nil || len(files) < 26 {
		t.Fatalf("%d scenarios found, error %v; at least 26 belong to the corpus", len(files), err)
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
