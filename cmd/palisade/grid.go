package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// grid draws one or more matrices of the same pods side by side: rows are sources, columns are destinations, both
// grouped by namespace. Columns are numbered; where rows are the same pods they carry the same numbers, else a list of
// the columns stands below.
type grid struct {
	from, to []string // "namespace/pod", grouped by namespace
	panels   []panel
	cell     int // columns per cell: 2, or 1 where space is short
	paint    paint

	square     bool     // rows and columns are the same pods
	rows, cols []group  // from and to by namespace
	labels     []string // of the rows
	labelWidth int      // columns
}

// panel is one matrix of a grid.
type panel struct {
	title  string
	rows   []string
	marked func(from, to int) bool // cells to point out, nil for none
}

// newGrid returns a grid that fits into width columns if it can.
func newGrid(from, to []string, p paint, width int, panels ...panel) grid {
	g := grid{from: from, to: to, panels: panels, cell: 2, paint: p}
	g.square = slices.Equal(from, to)
	g.rows, g.cols = groupsOf(from), groupsOf(to)
	g.labelWidth = utf8.RuneCountInString(corner)
	for i := range from {
		g.labels = append(g.labels, g.label(i))
		g.labelWidth = max(g.labelWidth, utf8.RuneCountInString(g.labels[i]))
	}
	if g.width() > width {
		g.cell = 1
	}
	return g
}

const (
	maxLabel = 36    // columns of a pod's name before it is shortened
	gap      = "   " // between panels
	corner   = "from ↓  to →"
)

// width returns the columns that the widest line of g takes.
func (g grid) width() int { return g.labelWidth + len(g.panels)*(len(gap)+g.panelWidth()) }

// panelWidth is that of the cells and of the bars between namespaces.
func (g grid) panelWidth() int { return len(g.to)*g.cell + 2*(len(g.cols)-1) }

// label returns the name of row i, with its number where a column has the same: "  7  client-one".
func (g grid) label(i int) string {
	_, name, _ := strings.Cut(g.from[i], "/")
	if !g.square {
		return "  " + shorten(name, maxLabel)
	}
	return fmt.Sprintf("  %*d  %s", g.digits(), i+1, shorten(name, maxLabel))
}

// digits is the number of decimal digits that the highest number has.
func (g grid) digits() int { return len(strconv.Itoa(len(g.to))) }

// group is a run of pods of one namespace: those numbered first to end-1.
type group struct {
	namespace  string
	first, end int
}

func groupsOf(keys []string) []group {
	var groups []group
	for i, key := range keys {
		namespace, _, _ := strings.Cut(key, "/")
		if len(groups) == 0 || groups[len(groups)-1].namespace != namespace {
			groups = append(groups, group{namespace: namespace, first: i})
		}
		groups[len(groups)-1].end = i + 1
	}
	return groups
}

// String returns the lines of g.
func (g grid) String() string {
	var b strings.Builder
	for _, line := range slices.Concat(g.header(), g.body(), g.footer()) {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// header returns the lines above the cells: titles, namespaces, and numbers read from top to bottom.
func (g grid) header() []string {
	var lines []string
	if g.panels[0].title != "" {
		lines = append(lines, g.line("", func(p panel) string { return p.title }))
	}
	if len(g.cols) > 1 {
		lines = append(lines, g.line("", func(panel) string { return g.namespaceHeads() }))
	}
	for digit := range g.digits() {
		label := ""
		if digit == g.digits()-1 {
			label = corner
		}
		lines = append(lines, g.line(label, func(panel) string { return g.numberHeads(digit) }))
	}
	return lines
}

func (g grid) body() []string {
	var lines []string
	for _, group := range g.rows {
		lines = append(lines, g.paint.bold(group.namespace))
		for i := group.first; i < group.end; i++ {
			lines = append(lines, g.line(g.labels[i], func(p panel) string { return g.cells(p, i) }))
		}
	}
	return lines
}

// footer lists the columns where the rows do not.
func (g grid) footer() []string {
	if g.square {
		return nil
	}
	lines := []string{"", g.paint.bold("to")}
	for j, key := range g.to {
		lines = append(lines, fmt.Sprintf("  %*d  %s", g.digits(), j+1, key))
	}
	return lines
}

// line joins a label and one text per panel, each padded to its column.
func (g grid) line(label string, text func(panel) string) string {
	line := pad(label, g.labelWidth)
	for _, p := range g.panels {
		line += gap + pad(text(p), g.panelWidth())
	}
	return line
}

// columns builds a line of a panel from one text per group, with a bar between namespaces.
func (g grid) columns(text func(group) string) string {
	var parts []string
	for _, group := range g.cols {
		parts = append(parts, text(group))
	}
	return strings.Join(parts, g.paint.dim("│")+" ")
}

func (g grid) namespaceHeads() string {
	return g.columns(func(group group) string {
		width := (group.end - group.first) * g.cell
		return pad(cut(group.namespace, max(2, width-1)), width)
	})
}

// numberHeads returns the given decimal digit, the highest being 0, of every column's number.
func (g grid) numberHeads(digit int) string {
	return g.columns(func(group group) string {
		var b strings.Builder
		for i := group.first; i < group.end; i++ {
			number := fmt.Sprintf("%*d", g.digits(), i+1)
			b.WriteString(pad(number[digit:digit+1], g.cell))
		}
		return g.paint.dim(b.String())
	})
}

// cells returns row i of p. A marked cell carries a star, so that it stands out without colours too.
func (g grid) cells(p panel, i int) string {
	return g.columns(func(group group) string {
		var b strings.Builder
		for j := group.first; j < group.end; j++ {
			marked := p.marked != nil && p.marked(i, j)
			text := pad(string(p.rows[i][j]), g.cell)
			if marked && g.cell > 1 {
				text = string(p.rows[i][j]) + "*"
			}
			b.WriteString(g.paint.cell(p.rows[i][j], marked, text))
		}
		return b.String()
	})
}
