package render

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes a table for each grid, as GitHub shows it.
func Markdown(w io.Writer, p Page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nRows are sources, columns are destinations; ✓ allowed, ✕ denied, ? undefined. Engine: %s.\n",
		p.Heading, p.Engine)
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	for i := range p.Grids {
		writeMarkdown(&b, &p.Grids[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeMarkdown(b *strings.Builder, g *Grid) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n| from ↓ to → |", g.Title(), g.Summary())
	for _, key := range g.To {
		b.WriteString(" " + escapeMarkdown(key) + " |")
	}
	b.WriteString("\n| :-- |" + strings.Repeat(" :-: |", len(g.To)) + "\n")
	for i, key := range g.From {
		b.WriteString("| " + escapeMarkdown(key) + " |")
		for j := range g.To {
			b.WriteString(" " + g.cell(i, j) + " |")
		}
		b.WriteString("\n")
	}
}

// escapeMarkdown keeps what could be a mark from being one. Names of Kubernetes have few such characters.
func escapeMarkdown(text string) string {
	return strings.NewReplacer("|", `\|`, "_", `\_`, "*", `\*`, "<", "&lt;").Replace(text)
}
