package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// summary prints what a run found: a table, and the first mismatch of every scenario that failed.
type summary struct {
	run.Result
	terminal
}

// moreShown is how many further mismatches of a scenario are named after the first.
const moreShown = 8

func (s summary) String() string {
	var b strings.Builder
	b.WriteString("\n" + s.table())
	for _, scenario := range s.Scenarios {
		if !scenario.Passed() {
			b.WriteString("\n" + s.failure(scenario))
		}
	}
	b.WriteString("\n" + s.verdict() + "\n")
	return b.String()
}

// table returns one line per scenario and one of sums.
func (s summary) table() string {
	widest := len("SCENARIO")
	for _, scenario := range s.Scenarios {
		widest = max(widest, len([]rune(scenario.Name)))
	}
	name := min(widest, max(20, s.width-44))
	p := paint(s.color)
	line := func(mark, label, steps, cells, mismatches, duration string) string {
		label = pad(shorten(label, name), name)
		return fmt.Sprintf("%s %s %6s %7s %11s %10s", mark, label, steps, cells, mismatches, duration)
	}
	var b strings.Builder
	b.WriteString(p.dim(line(" ", "SCENARIO", "STEPS", "CELLS", "MISMATCHES", "DURATION")) + "\n")
	for _, scenario := range s.Scenarios {
		steps, cells, mismatches := numbers(scenario.Totals())
		glyph, duration := mark(scenario.Passed(), p), run.FormatSeconds(scenario.Seconds)
		b.WriteString(line(glyph, scenario.Name, steps, cells, mismatches, duration) + "\n")
	}
	steps, cells, mismatches := numbers(s.Totals())
	b.WriteString(p.bold(line(" ", "all", steps, cells, mismatches, run.FormatSeconds(s.Seconds))) + "\n")
	return b.String()
}

// numbers formats sums; what could not be carried out has no number of mismatches worth believing.
func numbers(t run.Totals) (steps, cells, mismatches string) {
	mismatches = strconv.Itoa(t.Mismatches)
	if t.Errors > 0 {
		mismatches += " + error"
	}
	return strconv.Itoa(t.Steps), strconv.Itoa(t.Cells), mismatches
}

func (s summary) verdict() string {
	p := paint(s.color)
	if limited := s.Totals().Limited; s.Passed() && limited > 0 {
		return p.green(fmt.Sprintf("%d of %d connections differ as profile %s declares; all others are as the policies mean it.",
			limited, s.Totals().Cells, s.Profile))
	}
	if s.Passed() {
		return p.green(fmt.Sprintf("Every one of %d connections is as the policies mean it.", s.Totals().Cells))
	}
	if s.Totals().Mismatches == 0 {
		return p.red("Not every scenario could be carried out and checked.")
	}
	return p.red("Not every connection is as the policies mean it.")
}

// failure tells why a scenario failed.
func (s summary) failure(scenario run.ScenarioResult) string {
	p := paint(s.color)
	var b strings.Builder
	b.WriteString(p.bold(mark(false, p)+" "+scenario.Name) + "\n")
	switch {
	case scenario.Error != "":
		b.WriteString(wrap(scenario.Error, 2, s.width))
	case scenario.Totals().Cells == 0:
		b.WriteString(wrap(run.NothingChecked, 2, s.width))
	}
	shown := false
	for i, step := range scenario.Steps {
		if len(step.Mismatches) > 0 && !shown {
			shown = true
			b.WriteString(s.step(i+1, step))
		} else if len(step.Mismatches) > 0 {
			fmt.Fprintf(&b, "  step %d (%s): %s\n", i+1, step.Name, run.Count(len(step.Mismatches), "mismatch"))
		}
	}
	return b.String()
}

// step shows the first mismatch of a step in its matrix, with the model's explanation, and names the next ones.
func (s summary) step(number int, step run.StepResult) string {
	first := step.Mismatches[0]
	var b strings.Builder
	b.WriteString(wrap(fmt.Sprintf("step %d (%s): %s", number, step.Name, first), 2, s.width))
	b.WriteString(wrap("at "+first.At, 2, s.width))
	for _, m := range step.Matrices {
		if m.Probe == first.Probe && m.Family == first.Family {
			b.WriteString("\n" + s.sideBySide(m, step.Mismatches) + "\n")
		}
	}
	for _, sentence := range first.Explanation {
		b.WriteString(wrap(sentence, 2, s.width))
	}
	for _, m := range step.Mismatches[1:min(len(step.Mismatches), 1+moreShown)] {
		b.WriteString(wrap("also "+m.String(), 2, s.width))
	}
	if more := len(step.Mismatches) - 1 - moreShown; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// sideBySide shows both matrices with the mismatches starred, one below the other where the terminal is too narrow.
func (s summary) sideBySide(m run.Matrix, mismatches []run.Mismatch) string {
	marked := func(from, to int) bool { return m.Mismatch(from, to, mismatches) != nil }
	expected := panel{"expected", expectedRows(m, mismatches), marked}
	observed := panel{"observed", m.Observed, marked}
	both := newGrid(m.Order, m.Order, paint(s.color), math.MaxInt, expected, observed)
	if both.width() <= s.width {
		return both.String()
	}
	return newGrid(m.Order, m.Order, paint(s.color), s.width, expected).String() + "\n" +
		newGrid(m.Order, m.Order, paint(s.color), s.width, observed).String()
}

// expectedRows are those of the model, except where a hand-written expectation says otherwise.
func expectedRows(m run.Matrix, mismatches []run.Mismatch) []string {
	rows := make([]string, len(m.Expected))
	for from := range m.Expected {
		row := []byte(m.Expected[from])
		for to := range row {
			if bad := m.Mismatch(from, to, mismatches); bad != nil {
				row[to] = bad.Expected.Cell()
			}
		}
		rows[from] = string(row)
	}
	return rows
}

// wrap breaks text into lines of at most width columns, indented by indent.
func wrap(text string, indent, width int) string {
	var b strings.Builder
	margin := strings.Repeat(" ", indent)
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := margin
		for _, word := range strings.Fields(paragraph) {
			if len(line) > indent && printedWidth(line)+1+printedWidth(word) > width {
				b.WriteString(line + "\n")
				line = margin + "  "
			}
			if strings.TrimSpace(line) != "" {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
