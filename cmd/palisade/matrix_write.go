package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
)

// matrixWriter prints what an engine found.
type matrixWriter func(t terminal, engine string, matrices []matrix.Matrix) error

// matrixWriterOf returns the writer of an --output format.
func matrixWriterOf(format string) matrixWriter {
	switch format {
	case "json":
		return matrixJSON
	case "csv":
		return matrixCSV
	}
	return matrixTable
}

func matrixJSON(t terminal, engine string, matrices []matrix.Matrix) error {
	type probe struct {
		Protocol string   `json:"protocol"`
		Port     uint16   `json:"port"`
		Order    []string `json:"order"`
		Rows     []string `json:"rows"`
	}
	out := struct {
		Engine string  `json:"engine"`
		Probes []probe `json:"probes"`
	}{Engine: engine}
	for _, m := range matrices {
		out.Probes = append(out.Probes, probe{m.Probe.Protocol.String(), m.Probe.Port, m.Order, m.Rows})
	}
	return writeJSON(t, out)
}

func writeJSON(t terminal, v any) error {
	enc := json.NewEncoder(t)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// matrixCSV prints one line per cell, so that any number of probes makes one table.
func matrixCSV(t terminal, _ string, matrices []matrix.Matrix) error {
	w := csv.NewWriter(t)
	_ = w.Write([]string{"protocol", "port", "from", "to", "verdict"}) // errors are kept for w.Error
	for _, m := range matrices {
		for i, from := range m.Order {
			for j, to := range m.Order {
				verdict := cellVerdict(m.Rows[i][j]).String()
				_ = w.Write([]string{m.Probe.Protocol.String(), strconv.Itoa(int(m.Probe.Port)), from, to, verdict})
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
	shown := make([]bool, len(matrices))
	for i, m := range matrices {
		if shown[i] {
			continue
		}
		probes := []string{m.Probe.String()}
		for j := i + 1; j < len(matrices); j++ {
			if !shown[j] && slices.Equal(m.Rows, matrices[j].Rows) {
				shown[j] = true
				probes = append(probes, matrices[j].Probe.String())
			}
		}
		p := paint(t.color)
		fmt.Fprintln(&b, p.bold(strings.Join(probes, ", ")))
		fmt.Fprintln(&b, newGrid(m.Order, p, t.width, panel{rows: m.Rows}))
	}
	p := paint(t.color)
	fmt.Fprintf(&b, "%s allowed  %s denied  %s undefined   engine: %s\n",
		p.cell('.', false, "."), p.cell('X', false, "X"), p.cell('?', false, "?"), engine)
	_, err := t.Write([]byte(b.String()))
	return err
}
