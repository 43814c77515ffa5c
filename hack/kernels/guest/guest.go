// Package guest is what the host and the first process of a virtual machine say to each other: a Plan lies in the
// initial file system, and a Result per suite comes back over the serial console, as JSON behind a mark, among whatever
// else a kernel and its tests write there.
package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// PlanFile is where the plan lies.
const PlanFile = "/plan.json"

// Plan is what the guest does, in this order, before it powers off.
type Plan struct {
	Modules []string // files, each after those that it needs
	Suites  []Suite
}

// Suite is a group of test binaries that are judged together.
type Suite struct {
	Name string
	Runs []Run
}

// Run is one run of a test binary.
type Run struct {
	Dir    string // the folder of the package that it tests
	Binary string
	Args   []string
}

// Result is what became of a suite.
type Result struct {
	Suite   string
	Kernel  string // the release, as uname says it
	Passed  int    // tests and subtests
	Failed  []string
	Skipped []string
	Facts   map[string]string // what tests noted with T.Attr
	Error   string            // why the suite is not valid; empty if it is
	Took    time.Duration
}

// OK says that the suite ran, and nothing failed.
func (r *Result) OK() bool { return r.Error == "" && len(r.Failed) == 0 && r.Passed > 0 }

// Last is what the guest says at its end.
type Last struct {
	Finished bool
	Warnings []string // of the kernel about itself
}

// The marks of what is meant for the host.
const (
	markResult = "@palisade-result "
	markLast   = "@palisade-last "
)

// WriteResult sends a result to the host.
func WriteResult(w io.Writer, r *Result) error { return write(w, markResult, r) }

// WriteLast sends the last word to the host.
func WriteLast(w io.Writer, l *Last) error { return write(w, markLast, l) }

func write(w io.Writer, mark string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s%s\n", mark, text)
	return err
}

// Read returns the results in what came over the console, and the last word. What cannot be read is an error.
func Read(console io.Reader) ([]Result, Last, error) {
	var results []Result
	var last Last
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r Result
		if found, err := read(lines.Bytes(), markResult, &r); err != nil {
			return nil, last, err
		} else if found {
			results = append(results, r)
		}
		if _, err := read(lines.Bytes(), markLast, &last); err != nil {
			return nil, last, err
		}
	}
	return results, last, lines.Err()
}

func read(line []byte, mark string, v any) (found bool, err error) {
	_, text, found := bytes.Cut(line, []byte(mark))
	if !found {
		return false, nil
	}
	if err := json.Unmarshal(bytes.TrimSpace(text), v); err != nil {
		return false, fmt.Errorf("line %q of the guest: %w", line, err)
	}
	return true, nil
}
