package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// table is what was measured, in the order in which it was.
type table struct{ rows [][2]string }

// add notes a value, and shows it to who is waiting for the table.
func (t *table) add(what, format string, values ...any) {
	row := [2]string{what, fmt.Sprintf(format, values...)}
	t.rows = append(t.rows, row)
	fmt.Fprintf(os.Stderr, "%s: %s\n", row[0], row[1])
}

func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, row := range t.rows {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	return w.Flush()
}
