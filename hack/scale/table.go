package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
)

// shown are the maps whose memory the policies decide; the others are of a size that is chosen.
var shown = []string{"node", "peers4", "rules", "peer_hosts", "peer_nets"}

// print writes a line for each case, then how full the tables are and what was closed.
func print(stdout io.Writer, results []*result) error {
	out := &strings.Builder{}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tpods closed\tcompile\tsync\twrites\tone peer more\t\twrites\tprocess\tkernel\tpackets\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\t%d\t\n", r.name, r.fate(), short(r.compile), short(r.sync),
			r.writes, short(r.moreCompile), short(r.moreSync), r.moreWrites, mib(r.process), mib(r.kernelBytes()), r.packets)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		fmt.Fprintf(out, "\n%s\n  tables: %s\n  kernel: %s\n", r.name, fullest(r.usage), r.maps())
		for i, c := range r.conditions {
			if i == 3 {
				fmt.Fprintf(out, "  and %d conditions more\n", len(r.conditions)-i)
				break
			}
			fmt.Fprintf(out, "  %s: %s\n", abridged(c.Object), c.Message)
		}
	}
	_, err := io.WriteString(stdout, out.String())
	return err
}

func (r *result) fate() string {
	if r.closed == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", r.closed, r.pods)
}

func (r *result) kernelBytes() (sum float64) {
	for _, name := range shown {
		sum += r.kernel[name]
	}
	return sum
}

func (r *result) maps() string {
	var parts []string
	for name, bytes := range r.kernel {
		parts = append(parts, name+" "+mib(bytes))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func fullest(usage []bpf.Usage) string {
	var parts []string
	for _, u := range usage {
		parts = append(parts, fmt.Sprintf("%s %d/%d", u.Table, u.Entries, u.Capacity))
	}
	return strings.Join(parts, ", ")
}

func abridged(names string) string {
	const most = 60
	if len(names) > most {
		return names[:most] + "…"
	}
	return names
}

func short(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

func mib(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }
