package spec

import (
	"maps"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// startOf returns the objects from which a step begins. The first begins from bare nodes, so that what exists from the
// start comes with it.
func (w *world) startOf(step *Step) map[manifest.Key]manifest.Object {
	start := maps.Clone(w.objects)
	if step == &w.scenario.Steps[0] {
		maps.DeleteFunc(start, func(_ manifest.Key, o manifest.Object) bool { return !isNode(o) })
	} else {
		w.came = nil
	}
	return start
}

// way returns the states between the start of a step and its end where the scenario varies the order in which objects
// come: what goes is gone first, and nodes are there from the beginning.
func (w *world) way(start map[manifest.Key]manifest.Object, step *Step) ([]*model.Cluster, strict.Errors) {
	state := maps.Clone(w.objects)
	maps.DeleteFunc(state, func(k manifest.Key, o manifest.Object) bool {
		_, old := start[k]
		return !old && !isNode(o)
	})
	for k, o := range start {
		if _, lives := w.objects[k]; lives && !isNode(o) {
			state[k] = o
		}
	}
	came := w.arrived()
	groups := w.scenario.variant.arrivals(len(came))
	var way []*model.Cluster
	for _, group := range groups[:max(len(groups)-1, 0)] {
		for _, i := range group {
			state[came[i]] = w.objects[came[i]]
		}
		cluster, errs := assemble(state)
		if len(errs) > 0 {
			return nil, append(strict.Errors{step.Node().Errorf("step %q cannot come %s: a state on the way is none",
				step.Name, w.scenario.variant.order)}, errs...)
		}
		way = append(way, cluster)
	}
	return way, nil
}

// arrived returns what came and is there now, each once, without nodes.
func (w *world) arrived() []manifest.Key {
	var came []manifest.Key
	seen := map[manifest.Key]bool{}
	for _, key := range w.came {
		if o, lives := w.objects[key]; lives && !isNode(o) && !seen[key] {
			came, seen[key] = append(came, key), true
		}
	}
	return came
}
