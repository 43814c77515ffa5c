package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run"
)

// page is what the template shows of a run.
type page struct {
	run.Result
	Passed    bool
	Totals    run.Totals
	Scenarios []scenario
	// Failed is the first scenario that did not pass, nil if all did.
	Failed *scenario
}

type scenario struct {
	run.ScenarioResult
	ID      string // anchor
	Passed  bool
	Totals  run.Totals
	Problem string
	Steps   []step
}

type step struct {
	run.StepResult
	ID     string // anchor
	Number int
	Grids  []grid
	Shown  []run.Mismatch // the first of Mismatches
	Hidden int            // how many more there are
}

// maxShown is how many mismatches of a step the page tells in words; report.json has them all.
const maxShown = 50

// grid is one matrix, or several that are the same.
type grid struct {
	Title      string
	Columns    []column
	Namespaces []namespace
}

// column is a destination; Start is set on the first of its namespace.
type column struct {
	Number int
	Name   string
	Start  bool
}

// namespace is a run of rows, and equally of columns.
type namespace struct {
	Name string
	Rows []row
}

type row struct {
	Number int
	Pod    string
	Name   string // "namespace/pod"
	Cells  []cell
}

type cell struct {
	Class, Glyph, Title string
}

func newPage(r run.Result) page {
	p := page{Result: r, Passed: r.Passed(), Totals: r.Totals()}
	for i, s := range r.Scenarios {
		p.Scenarios = append(p.Scenarios, newScenario(fmt.Sprintf("s%d", i+1), s))
	}
	if i := slices.IndexFunc(p.Scenarios, func(s scenario) bool { return !s.Passed }); i >= 0 {
		p.Failed = &p.Scenarios[i]
	}
	return p
}

func newScenario(id string, s run.ScenarioResult) scenario {
	v := scenario{ScenarioResult: s, ID: id, Passed: s.Passed(), Totals: s.Totals()}
	if problem := junitError(s); problem != nil {
		v.Problem = problem.Message
	}
	for i, st := range s.Steps {
		shown := min(len(st.Mismatches), maxShown)
		v.Steps = append(v.Steps, step{
			StepResult: st, ID: fmt.Sprintf("%s-%d", id, i+1), Number: i + 1, Grids: newGrids(st),
			Shown: st.Mismatches[:shown], Hidden: len(st.Mismatches) - shown,
		})
	}
	return v
}

// newGrids returns the matrices of a step; those without a mismatch that look the same become one.
func newGrids(s run.StepResult) []grid {
	var grids []grid
	shown := make([]bool, len(s.Matrices))
	for i, m := range s.Matrices {
		if shown[i] {
			continue
		}
		titles := []string{m.Probe}
		for j := i + 1; j < len(s.Matrices); j++ {
			if !shown[j] && alike(m, s.Matrices[j]) && !concerns(s.Mismatches, m, s.Matrices[j]) {
				shown[j] = true
				titles = append(titles, s.Matrices[j].Probe)
			}
		}
		grids = append(grids, newGrid(strings.Join(titles, ", ")+" over "+m.Family, m, s.Mismatches))
	}
	return grids
}

func alike(a, b run.Matrix) bool {
	return a.Family == b.Family && slices.Equal(a.Expected, b.Expected) && slices.Equal(a.Observed, b.Observed)
}

// concerns reports whether a mismatch lies in one of the matrices.
func concerns(mismatches []run.Mismatch, matrices ...run.Matrix) bool {
	return slices.ContainsFunc(mismatches, func(bad run.Mismatch) bool {
		return slices.ContainsFunc(matrices, func(m run.Matrix) bool {
			return bad.Probe == m.Probe && bad.Family == m.Family
		})
	})
}

func newGrid(title string, m run.Matrix, mismatches []run.Mismatch) grid {
	g := grid{Title: title}
	for i, key := range m.Order {
		name, pod, _ := strings.Cut(key, "/")
		start := len(g.Namespaces) == 0 || g.Namespaces[len(g.Namespaces)-1].Name != name
		if start {
			g.Namespaces = append(g.Namespaces, namespace{Name: name})
		}
		g.Columns = append(g.Columns, column{i + 1, key, start})
		last := &g.Namespaces[len(g.Namespaces)-1]
		last.Rows = append(last.Rows, row{i + 1, pod, key, newCells(m, i, mismatches)})
	}
	return g
}

func newCells(m run.Matrix, from int, mismatches []run.Mismatch) []cell {
	cells := make([]cell, len(m.Order))
	for to := range m.Order {
		c := newCell(m.Expected[from][to], m.Observed[from][to])
		c.Title = fmt.Sprintf("%s → %s: %s", m.Order[from], m.Order[to], c.Title)
		if bad := m.Mismatch(from, to, mismatches); bad != nil {
			c.Class += " bad"
			c.Title = "mismatch: " + bad.String()
		}
		if namespaceStarts(m.Order, to) {
			c.Class += " start"
		}
		cells[to] = c
	}
	return cells
}

func namespaceStarts(order []string, i int) bool {
	before, _, _ := strings.Cut(order[max(0, i-1)], "/")
	here, _, _ := strings.Cut(order[i], "/")
	return i == 0 || before != here
}

// newCell shows what was observed, and in its title what was expected too.
func newCell(expected, observed byte) cell {
	if observed == run.CellNotProbed {
		return cell{"none", "", "not probed"}
	}
	class, glyph, word := observation(observed)
	if expected == flow.Undefined.Cell() {
		return cell{"undefined", glyph, "the API leaves this open; observed " + word}
	}
	want := map[byte]string{flow.Allow.Cell(): "allow", flow.Deny.Cell(): "deny"}[expected]
	return cell{class, glyph, "expected " + want + ", observed " + word}
}

func observation(cell byte) (class, glyph, word string) {
	switch cell {
	case flow.Allow.Cell():
		return "allow", "✓", "connected"
	case flow.Deny.Cell():
		return "deny", "✕", "blocked"
	case run.CellOneWay:
		return "odd", "⇢", "one-way"
	case run.CellRefused:
		return "odd", "!", "refused"
	}
	return "odd", "?", "no outcome"
}
