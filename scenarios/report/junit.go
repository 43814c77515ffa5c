package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// The JUnit XML that CI systems read (https://github.com/testmoapp/junitxml): a suite per scenario, a case per step.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     junitSeconds `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string       `xml:"name,attr"`
		File      string       `xml:"file,attr"`
		Tests     int          `xml:"tests,attr"`
		Failures  int          `xml:"failures,attr"`
		Errors    int          `xml:"errors,attr"`
		Skipped   int          `xml:"skipped,attr"`
		Time      junitSeconds `xml:"time,attr"`
		Timestamp string       `xml:"timestamp,attr"`
		Cases     []junitCase  `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    junitSeconds  `xml:"time,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Skipped *junitProblem `xml:"skipped"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junitSeconds is a duration in seconds, written with milliseconds.
type junitSeconds float64

func (s junitSeconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", float64(s))}, nil
}

// JUnit writes r as JUnit XML.
func JUnit(w io.Writer, r run.Result) error {
	suites := junitSuites{Name: "palisade scenarios on " + r.Backend, Time: junitSeconds(r.Seconds)}
	for _, s := range r.Scenarios {
		suite := junitSuiteOf(s, r.Start)
		suites.Tests += suite.Tests
		suites.Failures += suite.Failures
		suites.Errors += suite.Errors
		suites.Suites = append(suites.Suites, suite)
	}
	for _, one := range r.Inapplicable {
		suites.Tests++
		suites.Skipped++
		suites.Suites = append(suites.Suites, junitSuiteOfInapplicable(one, r.Start))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitTime is how a suite says when it began.
const junitTime = "2006-01-02T15:04:05"

// junitSuiteOfInapplicable is one case that was skipped.
func junitSuiteOfInapplicable(one run.Inapplicable, start time.Time) junitSuite {
	return junitSuite{
		Name: one.Name, File: one.File, Tests: 1, Skipped: 1, Timestamp: start.UTC().Format(junitTime),
		Cases: []junitCase{{Name: "scenario", Class: one.Name, Skipped: &junitProblem{Message: "it " + one.Reason}}},
	}
}

func junitSuiteOf(s run.ScenarioResult, start time.Time) junitSuite {
	suite := junitSuite{
		Name: s.Name, File: s.File, Time: junitSeconds(s.Seconds), Timestamp: start.UTC().Format(junitTime),
	}
	for i, step := range s.Steps {
		c := junitCase{Name: fmt.Sprintf("%d %s", i+1, step.Name), Class: s.Name, Time: junitSeconds(step.Seconds)}
		if len(step.Mismatches) > 0 {
			c.Failure = junitFailure(step.Mismatches)
			suite.Failures++
		}
		for _, m := range step.Limited {
			c.Output += fmt.Sprintf("declared limit %s: %s\n", m.Limit, m)
		}
		suite.Cases = append(suite.Cases, c)
	}
	if problem := junitError(s); problem != nil {
		suite.Cases = append(suite.Cases, junitCase{Name: "scenario", Class: s.Name, Error: problem})
		suite.Errors++
	}
	suite.Tests = len(suite.Cases)
	return suite
}

func junitFailure(mismatches []run.Mismatch) *junitProblem {
	var lines []string
	for _, m := range mismatches {
		lines = append(lines, m.At+": "+m.String())
	}
	return &junitProblem{
		Message: fmt.Sprintf("%s, first: %s", run.Count(len(mismatches), "mismatch"), mismatches[0]),
		Text:    strings.Join(lines, "\n"),
	}
}

// junitError is what keeps a scenario from passing besides mismatches, nil if nothing does.
func junitError(s run.ScenarioResult) *junitProblem {
	switch total := s.Totals(); {
	case s.Error != "":
		return &junitProblem{Message: s.Error}
	case total.Cells == 0:
		return &junitProblem{Message: run.NothingChecked}
	}
	return nil
}
