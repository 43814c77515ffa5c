package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// writeTable shows kernel × suite, what the kernels demanded, and below it what went wrong.
func writeTable(w io.Writer, list []suite, columns []*column) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name string, cell func(*column) string) {
		cells := []string{name}
		for _, c := range columns {
			cells = append(cells, cell(c))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	fmt.Fprintln(w)
	row("KERNEL", func(c *column) string { return c.kernel.name })
	row("package", func(c *column) string { return c.version })
	for _, s := range list {
		row(s.name, func(c *column) string { return c.cell(s.name) })
	}
	row("verified instructions", func(c *column) string { return c.noted("/", factEgress, factIngress) })
	row("capabilities", func(c *column) string { return strings.ReplaceAll(c.noted("", factCapabilities), "CAP_", "") })
	row("RLIMIT_MEMLOCK", func(c *column) string { return c.noted("", factMemlock) })
	row("hook", func(c *column) string { return c.noted("", factHook) })
	row("all", func(c *column) string { return round(c.took) + ", CPU " + round(c.cpu) })
	_ = table.Flush()
	fmt.Fprintln(w)
	for _, c := range columns {
		c.explain(w, list)
	}
}

// cell is the outcome of a suite.
func (c *column) cell(name string) string {
	r, ran := c.results[name]
	switch {
	case !ran:
		return "FAIL, no result"
	case !r.OK():
		return fmt.Sprintf("FAIL, %d of %d, %s", len(r.Failed), r.Passed+len(r.Failed), round(r.Took))
	case len(r.Skipped) > 0:
		return fmt.Sprintf("ok, %d (%d skipped), %s", r.Passed, len(r.Skipped), round(r.Took))
	}
	return fmt.Sprintf("ok, %d, %s", r.Passed, round(r.Took))
}

// noted joins what tests noted.
func (c *column) noted(sep string, facts ...string) string {
	var list []string
	for _, fact := range facts {
		for _, r := range c.results {
			if v, ok := r.Facts[fact]; ok {
				list = append(list, v)
			}
		}
	}
	if len(list) == 0 {
		return "–"
	}
	return strings.Join(list, sep)
}

// explain names what failed and where more is written.
func (c *column) explain(w io.Writer, list []suite) {
	for _, s := range list {
		for _, test := range c.results[s.name].Failed {
			fmt.Fprintf(w, "%s: %s: %s failed\n", c.kernel.name, s.name, test)
		}
		for _, test := range c.results[s.name].Skipped {
			fmt.Fprintf(w, "%s: %s: %s was skipped\n", c.kernel.name, s.name, test)
		}
	}
	for _, text := range c.wrong {
		fmt.Fprintf(w, "%s: %s\n", c.kernel.name, text)
	}
	if !c.ok(list) {
		fmt.Fprintf(w, "%s: everything it said is in %s\n", c.kernel.name, c.log)
	}
}

func round(d time.Duration) string { return d.Round(time.Second / 10).String() }
