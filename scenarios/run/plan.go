package run

import (
	"fmt"
	"net/netip"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// plan is everything to observe after one step, and what the oracle says about it.
type plan struct {
	oracle   Oracle
	ends     directory
	checks   []*check
	matrices []*planMatrix
	byKey    map[checkKey]*check
}

// check is one connection to observe.
type check struct {
	checkKey
	decision model.Decision // of the oracle
	listener []string       // who may answer; empty for anybody
	claims   []claim        // hand-written expectations about this connection
	seen     backend.Observation
	// confirmed is set when the outcome was not the expected one at first, and the connection was tried again.
	confirmed bool
}

// checkKey makes two checks of the same connection one. The names of pods on the host's network differ, not their
// addresses.
type checkKey struct {
	from, label string // of ends
	to          netip.AddrPort
	flow.Protocol
}

// claim is one hand-written expectation about a check.
type claim struct {
	want flow.Verdict
	at   string // file:line
}

// planMatrix places checks in a matrix: checks[i][j] is nil where nothing is probed.
type planMatrix struct {
	probe  flow.PortProto
	family flow.Family
	order  []string
	checks [][]*check
}

// newPlan plans the whole matrix of a stage and its expectations, which stand in file.
func newPlan(o Oracle, stage spec.Stage, file string) (*plan, error) {
	p := &plan{oracle: o, ends: newDirectory(stage.Cluster), byKey: map[checkKey]*check{}}
	order := matrix.Keys(matrix.Pods(stage.Cluster))
	for _, port := range stage.Ports {
		for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			p.addMatrix(order, port, family)
		}
	}
	for _, e := range stage.Expect {
		if err := p.addExpectation(e, file); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, e.Line, err)
		}
	}
	return p, nil
}

// addMatrix plans every pod's connections to every other pod, where both have addresses of the family.
func (p *plan) addMatrix(order []string, port flow.PortProto, family flow.Family) {
	before := len(p.checks)
	m := &planMatrix{probe: port, family: family, order: order}
	for _, from := range order {
		row := make([]*check, len(order))
		for j, to := range order {
			if from != to {
				row[j] = p.add(p.ends[from], p.ends[to], port, family)
			}
		}
		m.checks = append(m.checks, row)
	}
	if len(p.checks) > before {
		p.matrices = append(p.matrices, m)
	}
}

// addExpectation plans the connection that e speaks about, unless the matrix has it already, and notes what e says.
func (p *plan) addExpectation(e spec.Expectation, file string) error {
	from, err := p.ends.find(e.From)
	if err != nil {
		return err
	}
	name := e.To
	if e.Service != "" {
		name = "service/" + e.Service
	}
	to, err := p.ends.find(name)
	if err != nil {
		return err
	}
	c := p.add(from, to, e.PortProto, e.Family)
	if c == nil {
		return fmt.Errorf("%s and %s do not both have an %s address", from.name, to.name, e.Family)
	}
	c.claims = append(c.claims, claim{e.Verdict, fmt.Sprintf("%s:%d", file, e.Line)})
	return nil
}

// add plans one connection and returns its check, which is nil where the ends do not share the family.
func (p *plan) add(from, to end, port flow.PortProto, family flow.Family) *check {
	_, sends := from.in(family)
	addr, receives := to.in(family)
	if !sends || !receives {
		return nil
	}
	key := checkKey{from.name, to.name, netip.AddrPortFrom(addr, port.Port), port.Protocol}
	if known, ok := p.byKey[key]; ok {
		return known
	}
	c := &check{checkKey: key, listener: to.listener, decision: p.oracle.Decide(model.Query{
		From: from.endpoint, To: to.called(addr), PortProto: port, Family: family,
	})}
	p.byKey[key] = c
	p.checks = append(p.checks, c)
	return c
}

// result judges what was observed.
func (p *plan) result(name, at string) StepResult {
	r := StepResult{Name: name, Mismatches: []Mismatch{}, Matrices: []Matrix{}}
	for _, c := range p.checks {
		if c.decision.Verdict == flow.Undefined && len(c.claims) == 0 {
			r.Undefined++
		} else {
			r.Cells++
		}
		if c.confirmed {
			r.Confirmed++
		}
		r.Mismatches = append(r.Mismatches, c.mismatches(at)...)
	}
	for _, m := range p.matrices {
		r.Matrices = append(r.Matrices, m.result())
	}
	return r
}

func (m *planMatrix) result() Matrix {
	return Matrix{
		Probe: m.probe.String(), Family: m.family.String(), Order: m.order,
		Expected: m.rows(func(c *check) byte { return c.decision.Verdict.Cell() }),
		Observed: m.rows(func(c *check) byte { return outcomeCell(c.seen.Outcome) }),
	}
}

func (m *planMatrix) rows(cell func(*check) byte) []string {
	rows := make([]string, len(m.checks))
	for i, checks := range m.checks {
		row := make([]byte, len(checks))
		for j, c := range checks {
			row[j] = CellNotProbed
			if c != nil {
				row[j] = cell(c)
			}
		}
		rows[i] = string(row)
	}
	return rows
}

func outcomeCell(o backend.Outcome) byte {
	switch o {
	case backend.Connected:
		return flow.Allow.Cell()
	case backend.Blocked:
		return flow.Deny.Cell()
	case backend.OneWay:
		return CellOneWay
	case backend.Refused:
		return CellRefused
	}
	return flow.Undefined.Cell()
}
