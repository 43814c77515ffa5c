package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Result is what a run found out, as plain data that reports are made of.
type Result struct {
	Backend   string           `json:"backend"`
	Start     time.Time        `json:"start"`
	Seconds   float64          `json:"seconds"`
	Scenarios []ScenarioResult `json:"scenarios"` // in the order they were given
	// Profile is the capability profile that limits are taken from, "" if there is none.
	Profile string `json:"profile,omitempty"`
	// Inapplicable are the scenarios that could not be replayed on this backend at all.
	Inapplicable []Inapplicable `json:"inapplicable,omitempty"`
}

// Inapplicable is a scenario that a backend cannot replay, and why.
type Inapplicable struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// ScenarioResult is the result of one scenario, up to the first step that could not be carried out.
type ScenarioResult struct {
	Name    string       `json:"name"`
	Title   string       `json:"title,omitempty"`
	File    string       `json:"file"`
	Seconds float64      `json:"seconds"`
	Steps   []StepResult `json:"steps"`
	// Error says why the scenario could not be carried out to its end; empty if it was.
	Error string `json:"error,omitempty"`
}

// StepResult is what was observed after one step.
type StepResult struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Convergence is how long it took, in seconds, until the data plane enforced the change, as far as the backend can
	// see; probes may have found it not quite ready yet, see Confirmed. Of a live cluster it is how long after the change
	// the last connection was seen as expected for good.
	Convergence float64 `json:"convergence"`
	// Cells counts the connections whose outcome was compared, Undefined those the API says nothing about, and
	// Confirmed those that were probed again because the first outcome was not the expected one.
	Cells      int        `json:"cells"`
	Undefined  int        `json:"undefined"`
	Confirmed  int        `json:"confirmed"`
	Matrices   []Matrix   `json:"matrices"`
	Mismatches []Mismatch `json:"mismatches"`
	// Limited are differences that the capability profile declares.
	Limited []Mismatch `json:"limited,omitempty"`
}

// The cells of Matrix.Observed and Matrix.Expected besides those of flow.Verdict.Cell.
const (
	CellNotProbed = '-' // a pod to itself, or ends without a common address of the family
	CellOneWay    = '~' // the packets arrived, the answers did not
	CellRefused   = '!' // answered with a reset or an ICMP error
)

// Matrix holds every pod's connections to every pod at one port in one family: rows are sources, columns destinations,
// both in the order of Order.
type Matrix struct {
	Probe    string   `json:"probe"`  // "TCP/80"
	Family   string   `json:"family"` // "ipv4" or "ipv6"
	Order    []string `json:"order"`  // "namespace/pod"
	Expected []string `json:"expected"`
	Observed []string `json:"observed"`
	// Settled are the seconds from the change until each cell was seen as expected for good, -1 where it was not or was
	// not looked at; only of a live cluster.
	Settled [][]float64 `json:"settled,omitempty"`
}

// Kind says which of model, observation and hand-written expectation stands against the others.
type Kind string

// The kinds of mismatch.
const (
	KindObservation Kind = "observation-differs" // from the model, and from the expectation if there is one
	KindModel       Kind = "model-differs"       // from an expectation that the observation confirms
	KindExpectation Kind = "expectation-differs" // from what was observed, and from the model
)

// Mismatch is one connection about which two sources disagree.
type Mismatch struct {
	Kind     Kind         `json:"kind"`
	From     string       `json:"from"` // "namespace/pod" or "node/NAME"
	To       string       `json:"to"`   // "namespace/pod", "node/NAME", "service namespace/NAME" or an address
	Probe    string       `json:"probe"`
	Family   string       `json:"family"`
	Expected flow.Verdict `json:"expected"` // by the model, or by hand where the kind says so
	Model    flow.Verdict `json:"model"`
	Observed string       `json:"observed"` // the outcome, with details
	// At is the file:line of the expectation that the connection contradicts, or of the step if there is none.
	At          string   `json:"at"`
	Explanation []string `json:"explanation"` // the model's reasons, one sentence each
	// Limit is the capability whose absence is declared and explains the difference.
	Limit string `json:"limit,omitempty"`
}

// Totals are the sums over a scenario or a run.
type Totals struct {
	Steps, Cells, Undefined, Confirmed, Mismatches, Errors, Limited int
}

func (t Totals) plus(u Totals) Totals {
	return Totals{
		t.Steps + u.Steps, t.Cells + u.Cells, t.Undefined + u.Undefined, t.Confirmed + u.Confirmed,
		t.Mismatches + u.Mismatches, t.Errors + u.Errors, t.Limited + u.Limited,
	}
}

// Totals returns the sums over the scenario's steps.
func (s ScenarioResult) Totals() Totals {
	var t Totals
	for _, step := range s.Steps {
		t = t.plus(Totals{1, step.Cells, step.Undefined, step.Confirmed, len(step.Mismatches), 0, len(step.Limited)})
	}
	if s.Error != "" {
		t.Errors++
	}
	return t
}

// Passed reports whether the scenario came to its end, checked at least one connection and found no mismatch.
func (s ScenarioResult) Passed() bool { return s.Totals().passed() }

// Totals returns the sums over all scenarios.
func (r Result) Totals() Totals {
	var t Totals
	for _, s := range r.Scenarios {
		t = t.plus(s.Totals())
	}
	return t
}

// Passed reports whether every scenario passed, and that there was one.
func (r Result) Passed() bool {
	for _, s := range r.Scenarios {
		if !s.Passed() {
			return false
		}
	}
	return len(r.Scenarios) > 0
}

func (t Totals) passed() bool { return t.Cells > 0 && t.Mismatches == 0 && t.Errors == 0 }

// NothingChecked is the error of a scenario that compared no connection at all: it proves nothing.
const NothingChecked = "no connection was checked"

// String returns m in one line, without its place.
func (m Mismatch) String() string {
	against := map[Kind]string{
		KindObservation: fmt.Sprintf("expected %s, observed %s", m.Expected, m.Observed),
		KindModel: fmt.Sprintf("the scenario expects %s and that was observed, but the model says %s",
			m.Expected, m.Model),
		KindExpectation: fmt.Sprintf("the scenario expects %s, but the model says %s and observed was %s",
			m.Expected, m.Model, m.Observed),
	}
	return fmt.Sprintf("%s → %s %s %s: %s", m.From, m.To, m.Probe, m.Family, against[m.Kind])
}

// Mismatch returns the first of mismatches that lies in the given cell of m, or nil.
func (m Matrix) Mismatch(from, to int, mismatches []Mismatch) *Mismatch {
	for i, bad := range mismatches {
		if bad.Probe == m.Probe && bad.Family == m.Family && bad.From == m.Order[from] && bad.To == m.Order[to] {
			return &mismatches[i]
		}
	}
	return nil
}

// FormatSeconds returns a duration as people read it: "12 ms", "3.2 s".
func FormatSeconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.1f s", s)
}

// Count returns n with its noun: "1 cell", "2 cells", "2 mismatches".
func Count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ch"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
