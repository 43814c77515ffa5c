package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
)

// DOT writes a graph for Graphviz: a box for each namespace, an arrow for each connection that is allowed, dashed where
// it is undefined. What is denied has no arrow; in a comparison, what is no longer allowed has a red one. An arrow that
// does not hold for all probes names its own.
func DOT(w io.Writer, p Page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "// %s. Engine: %s.\n", p.Heading, p.Engine)
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "// %s\n", note)
	}
	b.WriteString("digraph connectivity {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n")
	writeClusters(&b, p.Grids)
	writeArrows(&b, p.Grids)
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeClusters(b *strings.Builder, grids []Grid) {
	var keys []string
	for _, g := range grids {
		keys = append(keys, slices.Concat(g.From, g.To)...)
	}
	slices.SortFunc(keys, compareKeys)
	keys = slices.Compact(keys)
	for i, group := range groups(keys) {
		fmt.Fprintf(b, "  subgraph cluster_%d {\n    label=%q;\n", i, group.namespace)
		for _, key := range keys[group.first:group.end] {
			fmt.Fprintf(b, "    %q [label=%q];\n", key, podName(key))
		}
		b.WriteString("  }\n")
	}
}

// compareKeys orders by namespace, then name.
func compareKeys(a, b string) int {
	return slices.Compare(strings.SplitN(a, "/", 2), strings.SplitN(b, "/", 2))
}

// arrow is one line of the graph.
type arrow struct{ from, to, style string }

func writeArrows(b *strings.Builder, grids []Grid) {
	var order []arrow
	probes := map[arrow][]string{}
	all := 0
	for _, g := range grids {
		all += len(g.Probes)
		for _, a := range g.arrows() {
			if probes[a] == nil {
				order = append(order, a)
			}
			for _, p := range g.Probes {
				probes[a] = append(probes[a], p.String())
			}
		}
	}
	for _, a := range order {
		attributes := a.style
		if len(probes[a]) < all {
			attributes = strings.TrimPrefix(fmt.Sprintf("%s, label=%q", attributes, strings.Join(probes[a], ", ")), ", ")
		}
		if attributes != "" {
			attributes = " [" + attributes + "]"
		}
		fmt.Fprintf(b, "  %q -> %q%s;\n", a.from, a.to, attributes)
	}
}

// arrows are those of one grid; that a pod reaches itself goes without saying.
func (g *Grid) arrows() []arrow {
	var arrows []arrow
	for i, from := range g.From {
		for j, to := range g.To {
			style, drawn := g.arrowStyle(i, j)
			if drawn && from != to {
				arrows = append(arrows, arrow{from, to, style})
			}
		}
	}
	return arrows
}

func (g *Grid) arrowStyle(i, j int) (style string, drawn bool) {
	is := g.Is[i][j]
	switch {
	case !g.changed(i, j):
		return "", false
	case is == flow.Undefined.Cell():
		return "style=dashed", true
	case g.Was == nil:
		return "", is == flow.Allow.Cell()
	case is == flow.Allow.Cell():
		return "color=darkgreen", true
	}
	return "color=red, style=dotted", true
}
