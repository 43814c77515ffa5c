// Package report writes what a run found out as files: report.json for programs, junit.xml for CI systems, and
// report.html, one page without external resources, for people.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// file is one report: its name, and what writes it.
type file struct {
	name  string
	write func(io.Writer, run.Result) error
}

func files() []file {
	return []file{{"report.json", JSON}, {"junit.xml", JUnit}, {"report.html", HTML}}
}

// Write writes every report into the folder dir, which it makes if need be, and returns their paths. A report appears
// under its name only when it is complete.
func Write(dir string, r run.Result) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write reports: %w", err)
	}
	var paths []string
	for _, f := range files() {
		path := filepath.Join(dir, f.name)
		if err := writeFile(path, r, f.write); err != nil {
			return nil, fmt.Errorf("write reports: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func writeFile(path string, r run.Result, write func(io.Writer, run.Result) error) error {
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		return err
	}
	unfinished := path + ".tmp"
	if err := os.WriteFile(unfinished, b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

// JSON writes r with its sums in front.
func JSON(w io.Writer, r run.Result) error {
	total := r.Totals()
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Passed     bool `json:"passed"`
		Cells      int  `json:"cells"`
		Mismatches int  `json:"mismatches"`
		Errors     int  `json:"errors"`
		run.Result
	}{r.Passed(), total.Cells, total.Mismatches, total.Errors, r})
}
