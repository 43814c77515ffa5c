// Package render draws connectivity matrices for people: as a page, a picture, a table in a README or a graph.
//
// Everything it writes stands by itself: no script, no font, no picture from elsewhere. Colour never says anything
// alone; every verdict has a sign of its own too.
package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
)

// Page is what is drawn.
type Page struct {
	Heading string   // what it is about
	Engine  string   // who judged: "model", "tables" or "kernel"
	Notes   []string // sentences to stand below the heading
	Grids   []Grid
}

// Grid is one matrix, of all probes that have the same cells.
type Grid struct {
	Probes   []flow.PortProto
	From, To []string // "namespace/pod", grouped by namespace
	Is       []string // rows of cells (flow.Verdict.Cell)
	Was      []string // what they were before, where two matrices are compared; nil else
}

// Title names the probes, for example "TCP/80, UDP/53".
func (g *Grid) Title() string {
	words := make([]string, 0, len(g.Probes))
	for _, p := range g.Probes {
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}

// Writer draws a page.
type Writer func(io.Writer, Page) error

// Grids returns one grid for each set of matrices with the same cells, in the order of the first of each.
func Grids(matrices []matrix.Matrix) []Grid {
	var grids []Grid
	for _, m := range matrices {
		grids = add(grids, Grid{From: m.From, To: m.To, Is: m.Rows}, m.Probe)
	}
	return grids
}

// Changes returns the grids of what differs.
func Changes(comparisons []matrix.Comparison) []Grid {
	var grids []Grid
	for _, c := range comparisons {
		if c.Differences() > 0 {
			c = c.Changed()
			grids = add(grids, Grid{From: c.Is.From, To: c.Is.To, Is: c.Is.Rows, Was: c.Was.Rows}, c.Is.Probe)
		}
	}
	return grids
}

func add(grids []Grid, g Grid, probe flow.PortProto) []Grid {
	for i := range grids {
		if o := &grids[i]; slices.Equal(o.Is, g.Is) && slices.Equal(o.Was, g.Was) &&
			slices.Equal(o.From, g.From) && slices.Equal(o.To, g.To) {
			o.Probes = append(o.Probes, probe)
			return grids
		}
	}
	g.Probes = []flow.PortProto{probe}
	return append(grids, g)
}

// changed reports whether a cell is to be shown in a comparison.
func (g *Grid) changed(i, j int) bool { return g.Was == nil || g.Was[i][j] != g.Is[i][j] }

// cell is the text of a cell: a sign, or two with an arrow between them, or nothing where nothing has changed.
func (g *Grid) cell(i, j int) string {
	switch {
	case g.Was == nil:
		return sign(g.Is[i][j])
	case g.changed(i, j):
		return sign(g.Was[i][j]) + "→" + sign(g.Is[i][j])
	}
	return ""
}

// sign is what stands for a verdict in drawings.
func sign(cell byte) string {
	switch cell {
	case flow.Allow.Cell():
		return "✓"
	case flow.Undefined.Cell():
		return "?"
	}
	return "✕"
}

// word is the verdict of a cell in words.
func word(cell byte) string {
	switch cell {
	case flow.Allow.Cell():
		return "allowed"
	case flow.Undefined.Cell():
		return "undefined"
	}
	return "denied"
}

// story tells a cell in words: "shop/a to shop/web: denied", "…: denied, now allowed".
func (g *Grid) story(i, j int) string {
	verdict := word(g.Is[i][j])
	if g.Was != nil && g.changed(i, j) {
		verdict = word(g.Was[i][j]) + ", now " + verdict
	}
	return fmt.Sprintf("%s to %s: %s", g.From[i], g.To[j], verdict)
}

// Summary counts the cells: "12 allowed, 3 denied, 1 undefined", or those that changed.
func (g *Grid) Summary() string {
	counts := map[string]int{}
	for i, row := range g.Is {
		for j := range row {
			switch {
			case g.Was == nil:
				counts[word(row[j])]++
			case g.changed(i, j):
				counts[word(g.Was[i][j])+" → "+word(row[j])]++
			}
		}
	}
	var words []string
	for _, kind := range kinds(g.Was != nil) {
		if counts[kind] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[kind], kind))
		}
	}
	return strings.Join(words, ", ")
}

// kinds are the words that Summary counts, in its order.
func kinds(compared bool) []string {
	verdicts := []string{"allowed", "denied", "undefined"}
	if !compared {
		return verdicts
	}
	var pairs []string
	for _, is := range verdicts {
		for _, was := range verdicts {
			pairs = append(pairs, was+" → "+is)
		}
	}
	return pairs
}

// group is a run of pods of one namespace: those numbered first to end-1.
type group struct {
	namespace  string
	first, end int
}

func groups(keys []string) []group {
	var all []group
	for i, key := range keys {
		namespace, _, _ := strings.Cut(key, "/")
		if len(all) == 0 || all[len(all)-1].namespace != namespace {
			all = append(all, group{namespace: namespace, first: i})
		}
		all[len(all)-1].end = i + 1
	}
	return all
}

// podName is the part of a key that its namespace leaves.
func podName(key string) string {
	_, name, _ := strings.Cut(key, "/")
	return name
}
