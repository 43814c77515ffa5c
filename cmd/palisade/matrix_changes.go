package main

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix/render"
)

// change is one cell that differs.
type change struct {
	Protocol string       `json:"protocol"`
	Port     uint16       `json:"port"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Was      flow.Verdict `json:"was"`
	Is       flow.Verdict `json:"is"`
}

// changesOf lists what differs, probe by probe and row by row.
func changesOf(comparisons []matrix.Comparison) []change {
	changes := []change{}
	for _, c := range comparisons {
		for i, from := range c.Is.From {
			for j, to := range c.Is.To {
				if was, is := cellVerdict(c.Was.Rows[i][j]), cellVerdict(c.Is.Rows[i][j]); was != is {
					changes = append(changes, change{c.Is.Probe.Protocol.String(), c.Is.Probe.Port, from, to, was, is})
				}
			}
		}
	}
	return changes
}

// writeChanges prints what differs in an --output format.
func writeChanges(t terminal, format, engine string, comparisons []matrix.Comparison) error {
	switch format {
	case "table":
		return changesTable(t, engine, comparisons)
	case "json":
		return changesJSON(t, engine, comparisons)
	case "csv":
		return changesCSV(t, comparisons)
	}
	return rendererOf(format)(t, render.Page{
		Heading: "What changes in who may connect to whom", Engine: engine, Notes: notes(comparisons),
		Grids: render.Changes(comparisons),
	})
}

func changesJSON(t terminal, engine string, comparisons []matrix.Comparison) error {
	return writeJSON(t, struct {
		Engine   string   `json:"engine"`
		Compared int      `json:"compared"` // cells
		Changed  []change `json:"changed"`
		Added    []string `json:"added"`
		Removed  []string `json:"removed"`
	}{
		engine, compared(comparisons), changesOf(comparisons),
		append([]string{}, comparisons[0].Added...), append([]string{}, comparisons[0].Removed...),
	})
}

func changesCSV(t terminal, comparisons []matrix.Comparison) error {
	w := csv.NewWriter(t)
	_ = w.Write([]string{"protocol", "port", "from", "to", "was", "is"}) // errors are kept for w.Error
	for _, c := range changesOf(comparisons) {
		_ = w.Write([]string{c.Protocol, strconv.Itoa(int(c.Port)), c.From, c.To, c.Was.String(), c.Is.String()})
	}
	w.Flush()
	return w.Error()
}

// changesTable prints a line for every cell that differs, with the pods in columns.
func changesTable(t terminal, engine string, comparisons []matrix.Comparison) error {
	changes := changesOf(comparisons)
	from, to := 0, 0
	for _, c := range changes {
		from, to = max(from, len(c.From)), max(to, len(c.To))
	}
	var b strings.Builder
	p := paint(t.color)
	probe := ""
	for _, c := range changes {
		if title := fmt.Sprintf("%s/%d", c.Protocol, c.Port); title != probe {
			fmt.Fprintln(&b, p.bold(title))
			probe = title
		}
		was, is := p.cell(c.Was.Cell(), false, c.Was.String()), p.cell(c.Is.Cell(), false, c.Is.String())
		fmt.Fprintf(&b, "  %s → %s  %s → %s\n", pad(c.From, from), pad(c.To, to), was, is)
	}
	for _, note := range notes(comparisons) {
		b.WriteString(wrap(note, 0, t.width))
	}
	fmt.Fprintf(&b, "engine: %s\n", engine)
	_, err := t.Write([]byte(b.String()))
	return err
}

// notes say how much was compared and what could not be.
func notes(comparisons []matrix.Comparison) []string {
	cells, changed := compared(comparisons), len(changesOf(comparisons))
	all := []string{fmt.Sprintf("%d of %s differ.", changed, run.Count(cells, "connection"))}
	if changed == 0 {
		all[0] = fmt.Sprintf("Nothing differs in %s.", run.Count(cells, "connection"))
	}
	for _, side := range []struct {
		pods []string
		what string
	}{{comparisons[0].Added, "now"}, {comparisons[0].Removed, "before"}} {
		if len(side.pods) > 0 {
			all = append(all, fmt.Sprintf("Only %s, so not compared: %s.", side.what, strings.Join(side.pods, ", ")))
		}
	}
	return all
}

// compared counts the cells that both matrices have.
func compared(comparisons []matrix.Comparison) int {
	n := 0
	for _, c := range comparisons {
		n += len(c.Is.From) * len(c.Is.To)
	}
	return n
}
