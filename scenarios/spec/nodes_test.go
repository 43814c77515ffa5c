package spec

import (
	"testing"
	"testing/fstest"
)

func TestAScenarioIsSpreadOverMoreNodes(t *testing.T) {
	s, err := parseOne("topic/s.yaml", []byte(steps("- {name: x, apply: ["+pod("c")+", "+pod("d")+"]}")), fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	s.Spread(3)
	stages, err := s.Stages()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "node-a", "b": "node-b", "c": "node-c", "d": "node-a"}
	for _, p := range stages[0].Cluster.Pods {
		if p.Spec.NodeName != want[p.Name] {
			t.Errorf("pod %s runs on %s, want %s", p.Name, p.Spec.NodeName, want[p.Name])
		}
	}
	if n := len(stages[0].Cluster.Nodes); n != 3 {
		t.Errorf("%d nodes, want 3", n)
	}
}
