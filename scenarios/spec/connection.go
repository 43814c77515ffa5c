package spec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Kept is a connection that is opened once and used again in later steps.
type Kept struct {
	Name    string // of the scenario, with the family: "download/ipv6"
	From    string // as in Expectation
	To      string
	Service string
	flow.PortProto
	Family flow.Family
	// Verdict says what must have become of it at this step: Allow that it goes on, Deny that it stops; Undefined where
	// the scenario does not say.
	Verdict flow.Verdict
	Line    int // of what the scenario says at this step, else of where it was opened
	Col     int
}

// line is a connection that was opened, with what keeps it alive.
type line struct {
	Kept
	owner string
	ends  []types.UID
}

// switchboard follows the connections of a scenario from step to step.
type switchboard struct {
	scenario *Scenario
	lines    []line
	errs     strict.Errors
}

func (b *switchboard) fail(n *strict.Node, format string, args ...any) {
	b.errs = append(b.errs, n.Errorf(format, args...))
}

// take completes a stage by its connections.
func (b *switchboard) take(said []Connection, stage *Stage) strict.Errors {
	b.errs = nil
	b.hangUp(stage.Cluster)
	for _, l := range b.lines {
		stage.Held = append(stage.Held, l.Kept)
	}
	for i := range said {
		switch c := &said[i]; {
		case c.Keep && c.Verdict == "":
			b.open(c, stage)
		case !c.Keep && c.From+c.To+c.Service+c.Port == "":
			b.judge(c, stage)
		default:
			b.fail(c.Node(), "a connection is opened with keep: true, from, to or service, and port, "+
				"or was opened by an earlier step and has a verdict: goes-on or stops")
		}
	}
	return b.errs
}

// hangUp forgets the connections whose ends are gone, or are other pods by now.
func (b *switchboard) hangUp(c *model.Cluster) {
	alive := map[types.UID]bool{}
	for _, p := range c.Pods {
		alive[p.UID] = p.Status.Phase == corev1.PodRunning
	}
	b.lines = slices.DeleteFunc(b.lines, func(l line) bool {
		return slices.ContainsFunc(l.ends, func(uid types.UID) bool { return !alive[uid] })
	})
}

// open resolves c like an expectation that must be allowed, which it is as well.
func (b *switchboard) open(c *Connection, stage *Stage) {
	at := c.Node().At("name")
	switch {
	case !scenarioName(c.Name):
		b.fail(at, "connections: %q is no name of lower-case letters, digits and dashes", c.Name)
		return
	case slices.ContainsFunc(b.lines, func(l line) bool { return l.owner == c.Name }):
		b.fail(at, "connections: there is a connection %s already", c.Name)
		return
	}
	cells, errs := resolveAll(b.scenario, []Expect{c.expect()}, stage.Cluster)
	b.errs = append(b.errs, errs...)
	for _, cell := range cells {
		k := Kept{
			Name: c.Name + "/" + cell.Family.String(), From: cell.From, To: cell.To, Service: cell.Service,
			PortProto: cell.PortProto, Family: cell.Family, Verdict: flow.Undefined, Line: cell.Line, Col: cell.Col,
		}
		b.lines = append(b.lines, line{Kept: k, owner: c.Name, ends: endsOf(cell, stage.Cluster)})
		stage.Opens = append(stage.Opens, k)
		stage.expectOpen(cell)
	}
}

// expectOpen adds an expectation unless the step has it already.
func (s *Stage) expectOpen(cell Expectation) {
	if !slices.ContainsFunc(s.Expect, func(e Expectation) bool {
		e.Line, e.Col = cell.Line, cell.Col
		return e == cell
	}) {
		s.Expect = append(s.Expect, cell)
	}
}

func (c *Connection) expect() Expect {
	e := Expect{Origin: c.Origin, Verdict: flow.Allow.String()}
	for _, f := range []struct {
		to   *OneOrMany
		word string
	}{{&e.From, c.From}, {&e.To, c.To}, {&e.Service, c.Service}, {&e.Port, c.Port}} {
		if f.word != "" {
			*f.to = OneOrMany{f.word}
		}
	}
	return e
}

// endsOf returns the pods whose life the connection depends on: its ends, or all backends of the Service it leads to.
func endsOf(e Expectation, c *model.Cluster) []types.UID {
	var ends []types.UID
	for _, p := range c.Pods {
		if name := p.Namespace + "/" + p.Name; name == e.From || name == e.To {
			ends = append(ends, p.UID)
		}
	}
	for _, slice := range c.EndpointSlices {
		if e.Service != slice.Namespace+"/"+slice.Labels[discoveryv1.LabelServiceName] {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if endpoint.TargetRef != nil {
				ends = append(ends, endpoint.TargetRef.UID)
			}
		}
	}
	return ends
}

// judge notes what the scenario says about a connection, in all its families.
func (b *switchboard) judge(c *Connection, stage *Stage) {
	verdicts := map[string]flow.Verdict{"goes-on": flow.Allow, "stops": flow.Deny}
	verdict, ok := verdicts[c.Verdict]
	if !ok {
		b.fail(c.Node().At("verdict"), "verdict of a connection must be goes-on or stops, not %q", c.Verdict)
		return
	}
	found := false
	for i, l := range b.lines {
		if l.owner != c.Name || i >= len(stage.Held) {
			continue
		}
		found = true
		held := &stage.Held[i]
		if held.Verdict != flow.Undefined {
			b.fail(c.Node(), "connections: %s is spoken of twice", c.Name)
			return
		}
		held.Verdict, held.Line, held.Col = verdict, c.Node().Line, c.Node().Col
	}
	if !found {
		b.fail(c.Node().At("name"), "connections: no connection %s of an earlier step is alive at this step", c.Name)
	}
}
