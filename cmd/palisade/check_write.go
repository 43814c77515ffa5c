package main

import (
	"math"
	"strings"

	"github.com/palisade-netpol/palisade/cmd/palisade/check"
)

// writeReports prints what was found, in one of the formats of palisade check.
func writeReports(t terminal, format string, reports []check.Report) error {
	if format == "json" {
		return writeJSON(t, reports)
	}
	width := t.width
	if !t.wrap {
		width = math.MaxInt
	}
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(paint(t.color).bold(r.Place) + ", " + string(r.Phase) + " installation\n")
		for _, c := range r.Checks {
			b.WriteString(wrap(glyph(c.Status, paint(t.color))+" "+c.Detail, 0, width))
			if c.Do != "" {
				b.WriteString(wrap("→ "+c.Do, 4, width))
			}
		}
	}
	_, err := t.Write([]byte(b.String()))
	return err
}

// glyph is the mark of a status.
func glyph(s check.Status, p paint) string {
	switch s {
	case check.OK:
		return mark(true, p)
	case check.Failed:
		return mark(false, p)
	case check.Warning:
		return p.yellow("!")
	}
	return p.dim("-")
}
