package run

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// plan is everything to observe after one step, and what the oracle says about it.
type plan struct {
	oracle   Oracle
	cluster  *model.Cluster
	ends     directory
	checks   []*check
	held     []*held
	opens    []opening
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
	// settled is how long after the change it was seen as expected, for good; of a live cluster only.
	settled time.Duration
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
	p := &plan{
		oracle: o, cluster: stage.Cluster, ends: newDirectory(stage.Cluster, stage.Outside), byKey: map[checkKey]*check{},
	}
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
	for _, k := range append(stage.Held, stage.Opens...) {
		if err := p.addKept(k, file, len(p.held) < len(stage.Held)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, k.Line, err)
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
	from, to, err := p.between(e.From, e.To, e.Service)
	if err != nil {
		return err
	}
	if to, err = p.through(to, e); err != nil {
		return err
	}
	c := p.add(from, to, e.PortProto, e.Family)
	if c == nil {
		return fmt.Errorf("%s and %s do not both have an %s address", from.name, to.name, e.Family)
	}
	c.claims = append(c.claims, claim{e.Verdict, fmt.Sprintf("%s:%d", file, e.Line)})
	return nil
}

// between finds the ends of a connection.
func (p *plan) between(caller, callee, service string) (from, to end, err error) {
	if from, err = p.ends.find(caller); err != nil {
		return from, to, err
	}
	if service != "" {
		callee = "service/" + service
	}
	to, err = p.ends.find(callee)
	return from, to, err
}

// add plans one connection and returns its check, which is nil where the ends do not share the family.
func (p *plan) add(from, to end, port flow.PortProto, family flow.Family) *check {
	c := p.check(from, to, port, family)
	if c == nil {
		return nil
	}
	if known, ok := p.byKey[c.checkKey]; ok {
		return known
	}
	p.byKey[c.checkKey] = c
	p.checks = append(p.checks, c)
	return c
}

// check asks the oracle about one connection.
func (p *plan) check(from, to end, port flow.PortProto, family flow.Family) *check {
	src, sends := from.in(family)
	addr, receives := to.in(family)
	if !sends || !receives {
		return nil
	}
	q := model.Query{From: from.as(src), To: to.as(addr), PortProto: port, Family: family}
	c := &check{listener: to.listener}
	c.checkKey = checkKey{from.name, to.name, netip.AddrPortFrom(addr, port.Port), port.Protocol}
	if to.door == nil {
		c.decision = p.oracle.Decide(q)
		return c
	}
	c.to = netip.AddrPortFrom(addr, to.door.port)
	c.decision = to.door.decide(p.oracle, q)
	return c
}

// result judges what was observed, and sets aside what a profile declares.
func (p *plan) result(name, at string, declared *profile.Profile) StepResult {
	r := StepResult{Name: name, Mismatches: []Mismatch{}, Matrices: []Matrix{}}
	for _, h := range p.held {
		r.add(h.check, h.mismatches(at, h.agrees, h.passage.String()), declared.Limit(p.use(h.check, true)))
	}
	for _, c := range p.checks {
		r.add(c, c.mismatches(at, c.agrees, c.outcome()), declared.Limit(p.use(c, false)))
	}
	for _, m := range p.matrices {
		r.Matrices = append(r.Matrices, m.result())
	}
	return r
}

// add counts a connection and what was found out about it. A limit excuses what was observed, if it is not "".
func (r *StepResult) add(c *check, found []Mismatch, limit profile.Capability) {
	if c.decision.Verdict == flow.Undefined && len(c.claims) == 0 {
		r.Undefined++
	} else {
		r.Cells++
	}
	if c.confirmed {
		r.Confirmed++
	}
	for _, m := range found {
		if limit != "" && m.Kind == KindObservation {
			m.Limit = string(limit)
			r.Limited = append(r.Limited, m)
			continue
		}
		r.Mismatches = append(r.Mismatches, m)
	}
}

func (m *planMatrix) result() Matrix {
	return Matrix{
		Probe: m.probe.String(), Family: m.family.String(), Order: m.order,
		Expected: m.rows(func(c *check) byte { return c.decision.Verdict.Cell() }),
		Observed: m.rows(func(c *check) byte { return outcomeCell(c.seen.Outcome) }),
		Settled:  m.settled(),
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
