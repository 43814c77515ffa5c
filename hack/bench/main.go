// Command bench measures the datapath in the kernel and prints ratios: a program that returns OK at once is 1.0. Ratios are
// taken within one round, the two programs in turn, and the median over all rounds is shown, so that they hold on a
// noisy machine.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"text/tabwriter"
)

func main() {
	rounds := flag.Int("rounds", 15, "rounds; the median is shown")
	packets := flag.Int("packets", 1_000_000, "packets per round")
	out := flag.String("json", "", "also write the results to this `file`")
	baseline := flag.String("baseline", "", "compare with the results in this `file`")
	only := flag.String("run", "", "only cases whose name matches this regular `expression`")
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Println("datapath: skipped, because it needs root: packets go through programs in the kernel.")
		return
	}
	if err := run(*rounds, *packets, *out, *baseline, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds, packets int, out, baseline, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	before, err := readResults(baseline)
	if err != nil {
		return err
	}
	var results []result
	for _, c := range cases() {
		if !pattern.MatchString(c.name) {
			continue
		}
		r, err := measure(c, rounds, packets)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
		fmt.Fprintf(os.Stderr, "%s\n", c.name)
	}
	printTable(results, before)
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

// result is one line of the table. Times are nanoseconds per packet.
type result struct {
	Name   string  `json:"name"`
	OK     float64 `json:"okNanoseconds"`
	Packet float64 `json:"nanoseconds"`
	Ratio  float64 `json:"ratio"` // median of the rounds' ratios
}

func readResults(path string) (map[string]result, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []result
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	byName := map[string]result{}
	for _, r := range list {
		byName[r.Name] = r
	}
	return byName, nil
}

func printTable(results []result, before map[string]result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "case\tOK ns\tns\tratio\t")
	if before != nil {
		fmt.Fprint(w, "baseline\t")
	}
	fmt.Fprintln(w)
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t", r.Name, r.OK, r.Packet, r.Ratio)
		if before != nil {
			fmt.Fprintf(w, "%.2f\t", before[r.Name].Ratio)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
