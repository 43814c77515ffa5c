package render

import (
	"embed"
	"fmt"
	"html"
	"html/template"
	"io"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
)

// assets are the page's template, and the styles that stand inside of pages and pictures.
//
//go:embed page.html.tmpl page.css picture.css
var assets embed.FS

// HTML writes one page for browsers, light or dark as the reader prefers.
func HTML(w io.Writer, p Page) error {
	style, err := assets.ReadFile("page.css")
	if err != nil {
		return err
	}
	page, err := template.New("page.html.tmpl").Funcs(template.FuncMap{
		"css":   func() template.CSS { return template.CSS(style) },
		"table": htmlTable,
	}).ParseFS(assets, "page.html.tmpl")
	if err != nil {
		return err
	}
	return page.Execute(w, p)
}

// mostStories is the number of cells up to which each tells its story when it is pointed at. More would make the page
// too heavy; its headers stay in sight in any case.
const mostStories = 40_000

// htmlTable is written by hand: a template takes seconds for a million cells.
func htmlTable(g Grid) template.HTML {
	var b strings.Builder
	b.WriteString("<table>\n")
	writeHead(&b, &g)
	columns := firsts(g.To)
	for _, rows := range groups(g.From) {
		fmt.Fprintf(&b, "<tbody>\n<tr><th scope=\"rowgroup\">%s</th>", html.EscapeString(rows.namespace))
		fmt.Fprintf(&b, "<td colspan=\"%d\"></td></tr>\n", len(g.To))
		for i := rows.first; i < rows.end; i++ {
			writeRow(&b, &g, i, columns)
		}
		b.WriteString("</tbody>\n")
	}
	b.WriteString("</table>")
	return template.HTML(b.String())
}

// writeHead names the destinations, grouped by namespace.
func writeHead(b *strings.Builder, g *Grid) {
	b.WriteString("<thead>\n<tr><td rowspan=\"2\">from ↓ to →</td>")
	for _, columns := range groups(g.To) {
		namespace := html.EscapeString(columns.namespace)
		fmt.Fprintf(b, "<th scope=\"colgroup\" class=\"first\" colspan=\"%d\" title=\"%s\">%s</th>",
			columns.end-columns.first, namespace, namespace)
	}
	b.WriteString("</tr>\n<tr>")
	first := firsts(g.To)
	for j, key := range g.To {
		fmt.Fprintf(b, "<th scope=\"col\"%s><span>%s</span></th>", classes(first[j], ""), html.EscapeString(podName(key)))
	}
	b.WriteString("</tr>\n</thead>\n")
}

func writeRow(b *strings.Builder, g *Grid, i int, first []bool) {
	fmt.Fprintf(b, "<tr><th scope=\"row\">%s</th>", html.EscapeString(podName(g.From[i])))
	stories := len(g.From)*len(g.To) <= mostStories
	for j := range g.To {
		b.WriteString("<td" + classes(first[j], g.class(i, j)))
		if stories && g.changed(i, j) {
			b.WriteString(" title=\"" + html.EscapeString(g.story(i, j)) + "\"")
		}
		b.WriteString(">" + g.cell(i, j) + "</td>")
	}
	b.WriteString("</tr>\n")
}

// firsts marks the pods that begin a namespace.
func firsts(keys []string) []bool {
	marks := make([]bool, len(keys))
	for _, g := range groups(keys) {
		marks[g.first] = true
	}
	return marks
}

// class is what the style sheet calls a cell's verdict, empty for a cell that has not changed.
func (g *Grid) class(i, j int) string {
	if !g.changed(i, j) {
		return ""
	}
	switch g.Is[i][j] {
	case flow.Allow.Cell():
		return "allow"
	case flow.Undefined.Cell():
		return "undefined"
	}
	return "deny"
}

func classes(first bool, class string) string {
	if first {
		class = strings.TrimSpace("first " + class)
	}
	if class == "" {
		return ""
	}
	return ` class="` + class + `"`
}
