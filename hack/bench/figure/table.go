package figure

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// Table is what Print shows.
type Table struct {
	Results []Result
	Before  map[string]Result // of an earlier run; nil: no column
	Musts   map[string]Must   // by name of a result
	Left    []Left
}

// Print writes the table, below it the lines that are not in it, and how many of the limits are kept.
func (t Table) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{"case", "base", "measured", "ratio", "per second"}
	if t.Before != nil {
		head = append(head, "baseline")
	}
	line(w, append(head, "must", "met"))
	for _, r := range t.Results {
		line(w, t.cells(r))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, l := range t.Left {
		fmt.Fprintf(out, "left out: %s: %s\n", l.Name, l.Reason)
	}
	return t.summary(out)
}

// line writes the cells of a row; the writer aligns only what ends in a tab.
func line(w io.Writer, cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }

func (t Table) cells(r Result) []string {
	cells := []string{r.Name, duration(r.Base), measured(r), ratio(r.Ratio), rate(r)}
	if t.Before != nil {
		cells = append(cells, baseline(r, t.Before))
	}
	m, limited := t.Musts[r.Name]
	switch {
	case !limited:
		return append(cells, "", "")
	case m.Met(r):
		return append(cells, m.String(), "yes")
	}
	return append(cells, m.String(), "NO")
}

func (t Table) summary(out io.Writer) error {
	limited := 0
	for _, r := range t.Results {
		if _, ok := t.Musts[r.Name]; ok {
			limited++
		}
	}
	_, err := fmt.Fprintf(out, "%d of %d limits are kept.\n", limited-len(t.Missed()), limited)
	return err
}

// Missed are the names of the results that do not keep within their limit, in the order of the table.
func (t Table) Missed() (names []string) {
	for _, r := range t.Results {
		if m, ok := t.Musts[r.Name]; ok && !m.Met(r) {
			names = append(names, r.Name)
		}
	}
	return names
}

// baseline is what the earlier run says about the same: the ratio, where there is one.
func baseline(r Result, before map[string]Result) string {
	b, ok := before[r.Name]
	switch {
	case !ok:
		return "new"
	case r.Ratio != 0:
		return ratio(b.Ratio)
	}
	return measured(b)
}

func measured(r Result) string {
	if r.Time != 0 {
		return duration(r.Time)
	}
	if r.Ratio != 0 {
		return ""
	}
	return size(r.Bytes)
}

// ratio has three decimals where a percent matters.
func ratio(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 2:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func rate(r Result) string {
	if r.Unit == "" || r.Time == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s", thousands(1e9/r.Time), r.Unit)
}

// thousands writes a number with a comma between groups of three digits.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration writes nanoseconds with three digits that mean something.
func duration(ns float64) string {
	if ns == 0 {
		return ""
	}
	if ns < 100 {
		return fmt.Sprintf("%.1fns", ns)
	}
	unit := math.Pow(10, math.Floor(math.Log10(ns))-2)
	return time.Duration(math.Round(ns/unit) * unit).String()
}

// size writes bytes, in KiB or MiB where there are enough.
func size(bytes float64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", bytes/(1<<10))
	}
	return fmt.Sprintf("%.0f B", bytes)
}
