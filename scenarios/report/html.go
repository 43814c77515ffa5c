package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// assets are the page's template and its style sheet, which stands inside the page.
//
//go:embed report.html.tmpl report.css
var assets embed.FS

// HTML writes r as one self-contained page.
func HTML(w io.Writer, r run.Result) error {
	css, err := assets.ReadFile("report.css")
	if err != nil {
		return err
	}
	page, err := template.New("report.html.tmpl").Funcs(template.FuncMap{
		"css":     func() template.CSS { return template.CSS(css) },
		"seconds": func(s float64) string { return fmt.Sprintf("%.1f s", s) },
		"count":   count,
	}).ParseFS(assets, "report.html.tmpl")
	if err != nil {
		return err
	}
	return page.Execute(w, newPage(r))
}

// count returns n with its noun, for example "1 cell" or "2 cells".
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "mismatch":
		return fmt.Sprintf("%d mismatches", n)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
