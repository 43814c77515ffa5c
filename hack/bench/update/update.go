package update

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

// Options say how long to measure what.
type Options struct {
	Rounds int
	Match  func(name string) bool
	Log    io.Writer // progress
}

// kind measures lines that are measured together.
type kind struct {
	lines   []string
	measure func(rounds int) (samples, error)
}

// samples are what was measured in each round, by line: nanoseconds, or bytes.
type samples map[string][]float64

// took notes how long something took since begin.
func (s samples) took(line string, begin time.Time) {
	s[line] = append(s[line], float64(time.Since(begin)))
}

func kinds() []kind {
	return []kind{
		{[]string{addCompile, addWrite, removeCompile, removeWrite}, changePeer},
		{[]string{swapCompile, swapWrite}, swapPolicy},
		{[]string{attachClsact}, attachBy(attachClsact)},
		{[]string{attachTCX}, attachBy(attachTCX)},
		{[]string{restart}, restartAgent},
		{memoryLines(), kernelMemory},
	}
}

// Measure returns the lines that were asked for.
func Measure(o Options) ([]figure.Result, error) {
	var results []figure.Result
	for _, k := range kinds() {
		if !slices.ContainsFunc(k.lines, o.Match) {
			continue
		}
		s, err := k.measure(o.Rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.lines[0], err)
		}
		for _, line := range k.lines {
			if o.Match(line) {
				results = append(results, result(line, s[line]))
				fmt.Fprintln(o.Log, line)
			}
		}
	}
	return results, nil
}

func result(line string, values []float64) figure.Result {
	r := figure.Result{Name: line}
	if slices.Contains(memoryLines(), line) {
		r.Bytes = figure.Median(values)
	} else {
		r.Time = figure.Median(values)
	}
	return r
}
