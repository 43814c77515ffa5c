// Package agree holds engines against the reference model, connection by connection. Where the API leaves a verdict
// open, the engines are held against what model/README.md states of our enforcement, so every cell has one right answer.
package agree

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// Difference is a connection on which an engine is not of the model's opinion.
type Difference struct {
	Query    model.Query
	Engine   string
	Got      flow.Verdict
	Want     flow.Verdict
	Decision model.Decision // how the model came to what is wanted
}

// Error says who says what about which connection.
func (d *Difference) Error() string {
	return fmt.Sprintf("%s: engine %s says %s, wanted is %s; the model: %+v",
		random.Describe(d.Query), d.Engine, d.Got, d.Want, d.Decision)
}

// Count is what a comparison looked at.
type Count struct {
	Cells     int // connections that can be made at all
	Undefined int // those of them that the API leaves open
}

// Add sums up.
func (c *Count) Add(o Count) {
	c.Cells += o.Cells
	c.Undefined += o.Undefined
}

// Compare asks the model and every engine about each query. The error is the first *Difference, or what kept an engine
// from answering.
func Compare(ctx context.Context, c *model.Cluster, engines []engine.Engine, queries []model.Query) (Count, error) {
	var count Count
	for _, e := range engines {
		if err := e.Load(ctx, c); err != nil {
			return count, fmt.Errorf("engine %s: %w", e.Name(), err)
		}
	}
	oracle := model.New(c)
	for _, q := range queries {
		d := oracle.Decide(q)
		want := Stated(q, d)
		for _, e := range engines {
			got, err := e.Verdict(q)
			if err != nil {
				return count, fmt.Errorf("engine %s: %s: %w", e.Name(), random.Describe(q), err)
			}
			if got != want {
				return count, &Difference{q, e.Name(), got, want, d}
			}
		}
		if want != flow.Undefined {
			count.Cells++
			if d.Verdict == flow.Undefined {
				count.Undefined++
			}
		}
	}
	return count, nil
}

// Stated returns what our enforcement does about a connection between pods, nodes and outside addresses on which the
// model decided d; undefined where there is no connection to judge.
func Stated(q model.Query, d model.Decision) flow.Verdict {
	if d.Verdict != flow.Undefined || d.Reason != "" {
		return d.Verdict
	}
	if half(q, d.Egress, q.From.Pod) == flow.Allow && half(q, d.Ingress, q.To.Pod) == flow.Allow {
		return flow.Allow
	}
	return flow.Deny
}

var nodePorts = enforce.DefaultNodePorts

// half reads the table in model/README.md for what the policies of subject leave open.
func half(q model.Query, h model.Half, subject *corev1.Pod) flow.Verdict {
	switch {
	case h.Verdict != flow.Undefined:
		return h.Verdict
	case h.Reason == model.PodToOwnNode && q.Protocol.HasPorts() && nodePorts.First <= q.Port && q.Port <= nodePorts.Last:
		return flow.Deny
	case h.Reason == model.RuleWithoutPorts, h.Reason == model.PodToOwnNode, h.Reason == model.HostNetwork && subject.Spec.HostNetwork:
		return flow.Allow
	}
	return flow.Deny
}
