package report

import (
	"embed"
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
		"seconds": run.FormatSeconds,
		"count":   run.Count,
	}).ParseFS(assets, "report.html.tmpl")
	if err != nil {
		return err
	}
	return page.Execute(w, newPage(r))
}
