// Command bench measures the datapath in the kernel, as root, and prints a table with the limits that the figures have
// to keep:
//
//   - what a verdict costs, by BPF_PROG_TEST_RUN, against a program that returns OK at once;
//   - what a packet, a connection and a byte cost end to end, over veth pairs between namespaces, against no program
//     (veth);
//   - what an update costs, and how much kernel memory is taken (update).
//
// Ratios are taken within one round, and the median over all rounds is shown, so that they hold on a noisy machine.
// With -strict a limit that is missed makes it fail. Linux only.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
	"github.com/palisade-netpol/palisade/hack/bench/update"
	"github.com/palisade-netpol/palisade/hack/bench/veth"
)

// options say what to measure, and how long.
type options struct {
	rounds, packets int
	quick, strict   bool
	seed            uint64
	json, baseline  string
	run             string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 15, "rounds; the median is shown")
	flag.IntVar(&o.packets, "packets", 1_000_000, "packets per round of a verdict")
	flag.BoolVar(&o.quick, "quick", false,
		"few and short rounds, and not the largest rule sets: shows that all works, not how quick it is")
	flag.BoolVar(&o.strict, "strict", false,
		"exit with status 1 if a limit is missed that was measured, or nothing can be; without, limits are only printed")
	flag.Uint64Var(&o.seed, "seed", 1, "decides the order within the rounds")
	flag.StringVar(&o.json, "json", "", "also write the results to this `file`")
	flag.StringVar(&o.baseline, "baseline", "", "compare with the results in this `file`")
	flag.StringVar(&o.run, "run", "", "only cases whose name matches this regular `expression`")
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Println("datapath: skipped, because it needs root: packets go through programs in the kernel.")
		if o.strict {
			os.Exit(1)
		}
		return
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	pattern, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	before, err := figure.Read(o.baseline)
	if err != nil {
		return err
	}
	if o.quick {
		o.rounds, o.packets = min(o.rounds, 3), min(o.packets, 50_000)
	}
	t, err := o.measure(pattern)
	if err != nil {
		return err
	}
	t.Before, t.Musts = before, musts(t.Results)
	if err := t.Print(os.Stdout); err != nil {
		return err
	}
	if o.json != "" {
		if err := figure.Write(o.json, t.Results); err != nil {
			return err
		}
	}
	if o.strict {
		return missed(t)
	}
	return nil
}

// missed is an error that names the limits which are not kept, if there are any.
func missed(t figure.Table) error {
	if names := t.Missed(); len(names) > 0 {
		return fmt.Errorf("limits that are missed: %d\n  %s", len(names), strings.Join(names, "\n  "))
	}
	return nil
}

// measure runs everything that matches.
func (o options) measure(pattern *regexp.Regexp) (t figure.Table, err error) {
	if t.Results, err = o.verdicts(pattern); err != nil {
		return t, err
	}
	t.Results = append(t.Results, grown(t.Results)...)
	match := pattern.MatchString
	results, left, err := veth.Measure(veth.Options{
		Rounds: o.rounds, Quick: o.quick, Seed: o.seed, Match: match, Log: os.Stderr,
	})
	if err != nil {
		return t, fmt.Errorf("veth: %w", err)
	}
	t.Results, t.Left = append(t.Results, results...), left
	results, err = update.Measure(update.Options{Rounds: o.rounds, Match: match, Log: os.Stderr})
	if err != nil {
		return t, fmt.Errorf("update: %w", err)
	}
	t.Results = append(t.Results, results...)
	return t, nil
}

// A machine that others share is slower for seconds at a time, and then not by the same factor for everything: a case is measured again,
// up to so many times in all, whose OK program took that much longer than the quickest of all cases.
const (
	slower   = 1.15
	attempts = 5
)

// verdicts measures the cases whose name matches.
func (o options) verdicts(pattern *regexp.Regexp) ([]figure.Result, error) {
	chosen := slices.DeleteFunc(cases(), func(c benchCase) bool { return !pattern.MatchString(c.name) })
	results, quickest := make([]figure.Result, len(chosen)), math.Inf(1)
	for attempt := range attempts {
		for i, c := range chosen {
			if attempt > 0 && (o.quick || results[i].Base <= slower*quickest) {
				continue
			}
			fmt.Fprintln(os.Stderr, c.name)
			r, err := measure(c, o.rounds, o.packets)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if attempt == 0 || r.Base < results[i].Base {
				results[i] = r
			}
			quickest = min(quickest, r.Base)
		}
	}
	return results, nil
}
