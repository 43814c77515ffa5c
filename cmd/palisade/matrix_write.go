package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix/render"
)

// writeMatrices prints what an engine found in an --output format.
func writeMatrices(t terminal, format, engine string, matrices []matrix.Matrix) error {
	switch format {
	case "table":
		return matrixTable(t, engine, matrices)
	case "json":
		return matrixJSON(t, engine, matrices)
	case "csv":
		return matrixCSV(t, matrices)
	}
	page := render.Page{Heading: "Who may connect to whom", Engine: engine, Grids: render.Grids(matrices)}
	return rendererOf(format)(t, page)
}

// rendererOf returns the renderer of the formats that are drawings.
func rendererOf(format string) render.Writer {
	switch format {
	case "svg":
		return render.SVG
	case "md":
		return render.Markdown
	case "dot":
		return render.DOT
	}
	return render.HTML
}

// matrixJSON writes "order" where rows and columns are the same pods, else "from" and "to".
func matrixJSON(t terminal, engine string, matrices []matrix.Matrix) error {
	type probe struct {
		Protocol string   `json:"protocol"`
		Port     uint16   `json:"port"`
		Order    []string `json:"order,omitempty"`
		From     []string `json:"from,omitempty"`
		To       []string `json:"to,omitempty"`
		Rows     []string `json:"rows"`
	}
	out := struct {
		Engine string  `json:"engine"`
		Probes []probe `json:"probes"`
	}{Engine: engine}
	for _, m := range matrices {
		p := probe{Protocol: m.Probe.Protocol.String(), Port: m.Probe.Port, Rows: m.Rows}
		if m.Square() {
			p.Order = m.From
		} else {
			p.From, p.To = m.From, m.To
		}
		out.Probes = append(out.Probes, p)
	}
	return writeJSON(t, out)
}

func writeJSON(t terminal, v any) error {
	enc := json.NewEncoder(t)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// matrixCSV prints one line per cell, so that any number of probes makes one table.
func matrixCSV(t terminal, matrices []matrix.Matrix) error {
	w := csv.NewWriter(t)
	_ = w.Write([]string{"protocol", "port", "from", "to", "verdict"}) // errors are kept for w.Error
	for _, m := range matrices {
		protocol, port := m.Probe.Protocol.String(), strconv.Itoa(int(m.Probe.Port))
		for i, from := range m.From {
			for j, to := range m.To {
				_ = w.Write([]string{protocol, port, from, to, cellVerdict(m.Rows[i][j]).String()})
			}
		}
	}
	w.Flush()
	return w.Error()
}

// cellVerdict is the inverse of flow.Verdict.Cell.
func cellVerdict(cell byte) flow.Verdict {
	for _, v := range []flow.Verdict{flow.Allow, flow.Undefined} {
		if cell == v.Cell() {
			return v
		}
	}
	return flow.Deny
}

// matrixTable prints one grid for every set of probes that have the same answers.
func matrixTable(t terminal, engine string, matrices []matrix.Matrix) error {
	var b strings.Builder
	p := paint(t.color)
	for _, g := range render.Grids(matrices) {
		fmt.Fprintln(&b, p.bold(g.Title()))
		fmt.Fprintln(&b, newGrid(g.From, g.To, p, t.width, panel{rows: g.Is}))
	}
	fmt.Fprintf(&b, "%s allowed  %s denied  %s undefined   engine: %s\n",
		p.cell('.', false, "."), p.cell('X', false, "X"), p.cell('?', false, "?"), engine)
	_, err := t.Write([]byte(b.String()))
	return err
}
