package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is what test2json says; see `go doc test2json`.
type event struct {
	Action, Test, Output, Key, Value string
	Elapsed                          float64 // seconds
}

// Collect adds the events of one run, as test2json writes them, to the result. The output of tests that fail, and of
// the package itself, goes to log.
func (r *Result) Collect(events io.Reader, log io.Writer) error {
	output := map[string]*strings.Builder{}
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read events of tests: %w", err)
		}
		if e.Action == "output" && e.Test != "" {
			if output[e.Test] == nil {
				output[e.Test] = &strings.Builder{}
			}
			output[e.Test].WriteString(e.Output)
			continue
		}
		r.note(e)
		if _, err := io.WriteString(log, shown(e, output[e.Test])); err != nil {
			return err
		}
	}
}

// note counts an event.
func (r *Result) note(e event) {
	switch {
	case e.Action == "attr":
		if r.Facts == nil {
			r.Facts = map[string]string{}
		}
		r.Facts[e.Key] = e.Value
	case e.Test == "":
	case e.Action == "pass":
		r.Passed++
	case e.Action == "fail":
		r.Failed = append(r.Failed, e.Test)
	case e.Action == "skip" && !slices.Contains(r.Skipped, e.Test):
		r.Skipped = append(r.Skipped, e.Test)
	}
}

// shown is what people see of an event.
func shown(e event, output *strings.Builder) string {
	switch {
	case e.Test == "":
		return e.Output
	case e.Action == "fail" && output != nil:
		return output.String()
	case e.Action == "pass" && !strings.Contains(e.Test, "/"):
		return fmt.Sprintf("ok   %s (%.1f s)\n", e.Test, e.Elapsed)
	case e.Action == "skip" && output != nil:
		return output.String()
	}
	return ""
}
