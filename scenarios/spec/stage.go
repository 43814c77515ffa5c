package spec

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Stage is the whole cluster after one step, and what must hold there.
type Stage struct {
	Name string
	// Before are states to pass through on the way to Cluster, where the scenario varies the order in which objects come.
	Before  []*model.Cluster
	Cluster *model.Cluster
	Outside []Host           // the same in every stage
	Ports   []flow.PortProto // to observe between all pods; the same in every stage, at least one
	Expect  []Expectation
	// Held are the connections that earlier steps opened and whose ends are still the same.
	Held []Kept
	// Opens are the connections to open and keep once everything else is observed.
	Opens []Kept
}

// Host is a host outside the cluster.
type Host struct {
	Name  string // "external/NAME"
	Addrs []netip.Addr
}

// Expectation is one hand-written cell: a new connection and what must become of it.
type Expectation struct {
	From    string // "namespace/pod", "node/NAME" or "external/NAME"
	To      string // like From; empty where a Service is called
	Service string // "namespace/name", called at its ClusterIP; empty where a pod or node is called
	Node    string // where the Service is called at its node port, else empty
	flow.PortProto
	Family  flow.Family
	Verdict flow.Verdict
	Line    int // where it stands in the scenario
	Col     int
}

// Stages replays the steps without any cluster: the state after each of them. It is a pure function of the file.
func (s *Scenario) Stages() ([]Stage, error) {
	w := newWorld(s)
	lines := &switchboard{scenario: s}
	var stages []Stage
	var errs strict.Errors
	for i := range s.Steps {
		step := &s.Steps[i]
		stage, bad := w.take(step)
		if len(bad) > 0 {
			return nil, append(errs, bad...).Err()
		}
		stage.Expect, bad = resolveAll(s, step.Expect, stage.Cluster)
		errs = append(errs, bad...)
		errs = append(errs, lines.take(step.Connections, &stage)...)
		stages = append(stages, stage)
	}
	ports, bad := s.ports(stages)
	if err := append(errs, bad...).Err(); err != nil {
		return nil, err
	}
	for i := range stages {
		stages[i].Ports, stages[i].Outside = ports, s.outside
	}
	return stages, nil
}

// sortedKeys returns the keys of m in order.
func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), compare)
}
