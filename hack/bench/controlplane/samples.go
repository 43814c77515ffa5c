package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// change is a write that opens or closes the way of a stream.
type change struct {
	opens           bool
	asked, answered time.Time // around the request to the API server
	from            int       // number of the first packet sent after asked
}

// samples are how long after the API server's answer changes took effect. A negative one took effect before it.
type samples struct {
	firstPassed  []time.Duration // opening: until the first packet passed
	lastPassed   []time.Duration // closing: until the last packet passed
	firstDropped []time.Duration // closing: until the first packet was sent that did not pass, nor any after it
	lost         int             // packets that did not pass although an earlier one had, after an opening
	requests     []time.Duration // from the request to the answer
}

// measure finds, among the packets sent from one change up to the next, where the verdict changed.
func measure(changes []change, sent []time.Time, arrived []arrival) samples {
	at := make([]time.Time, len(sent)) // of arrival, zero: it did not
	for _, a := range arrived {
		at[a.number] = a.at
	}
	var s samples
	for i, c := range changes {
		end := len(sent)
		if i+1 < len(changes) {
			end = changes[i+1].from
		}
		s.requests = append(s.requests, c.answered.Sub(c.asked))
		if c.opens {
			s.opening(c, at[c.from:end])
		} else {
			s.closing(c, sent[c.from:end], at[c.from:end])
		}
	}
	return s
}

func passed(at time.Time) bool { return !at.IsZero() }

func (s *samples) opening(c change, at []time.Time) {
	first := slices.IndexFunc(at, passed)
	if first < 0 {
		return // whoever made the change waited for packets, so there are some
	}
	s.firstPassed = append(s.firstPassed, at[first].Sub(c.answered))
	for _, t := range at[first:] {
		if !passed(t) {
			s.lost++
		}
	}
}

func (s *samples) closing(c change, sent, at []time.Time) {
	last := len(at) - 1
	for last >= 0 && !passed(at[last]) {
		last--
	}
	if last >= 0 {
		s.lastPassed = append(s.lastPassed, at[last].Sub(c.answered))
	} else {
		s.lastPassed = append(s.lastPassed, c.asked.Sub(c.answered))
	}
	if last+1 < len(sent) {
		s.firstDropped = append(s.firstDropped, sent[last+1].Sub(c.answered))
	}
}

// gaps are the times between the sending of packets.
func gaps(sent []time.Time) []time.Duration {
	var list []time.Duration
	for i := 1; i < len(sent); i++ {
		list = append(list, sent[i].Sub(sent[i-1]))
	}
	return list
}

// quantile returns the smallest element that at least the share q of a sorted list does not exceed, zero of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, min(len(sorted)-1, ceil(q*float64(len(sorted)))-1))]
}

func ceil(x float64) int {
	n := int(x)
	if float64(n) < x {
		n++
	}
	return n
}

func printSamples(out io.Writer, s samples, sent []time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "from the API server's answer to\tn\tp50 ms\tp99 ms\tmax ms\t")
	for _, row := range []struct {
		name string
		list []time.Duration
	}{
		{"opening: the first packet that passed", s.firstPassed},
		{"closing: the last packet that passed", s.lastPassed},
		{"closing: the first packet sent that did not", s.firstDropped},
		{"beside: from the request to the answer", s.requests},
		{"beside: from one packet to the next", gaps(sent)},
	} {
		slices.Sort(row.list)
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t\n", row.name, len(row.list), milliseconds(quantile(row.list, 0.5)),
			milliseconds(quantile(row.list, 0.99)), milliseconds(quantile(row.list, 1)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d packets lost after an opening had let one pass\n", s.lost)
	return err
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
