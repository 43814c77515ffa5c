package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/report"
	"github.com/palisade-netpol/palisade/scenarios/run"
)

// result has one scenario that passed, one with a mismatch, one that broke off and one that checked nothing.
func result() run.Result {
	order := []string{"a/one", "b/two", "b/three"}
	alike := run.Matrix{Probe: "TCP/80", Family: "ipv4", Order: order,
		Expected: []string{"-.X", ".-.", "?.-"}, Observed: []string{"-.X", ".-.", "..-"}}
	same := alike
	same.Probe = "UDP/53"
	differs := alike
	differs.Probe, differs.Observed = "TCP/81", []string{"-.~", ".-.", "..-"}
	return run.Result{
		Backend: "netns", Start: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 1.5,
		Scenarios: []run.ScenarioResult{
			{Name: "good", Title: "All is well.", File: "good.yaml", Seconds: 0.25, Steps: []run.StepResult{
				{Name: "open", Cells: 10, Undefined: 2, Matrices: []run.Matrix{alike, same}, Mismatches: []run.Mismatch{}},
			}},
			{Name: "bad", Title: "<script>alert(1)</script>", File: "bad.yaml", Steps: []run.StepResult{{
				Name: "leak", Cells: 10, Confirmed: 1, Matrices: []run.Matrix{alike, differs}, Mismatches: []run.Mismatch{{
					Kind: run.KindObservation, From: "a/one", To: "b/three", Probe: "TCP/81", Family: "ipv4",
					Expected: flow.Deny, Model: flow.Deny, Observed: "one-way", At: "bad.yaml:7",
					Explanation: []string{"Ingress of b/three is denied."},
				}},
			}}},
			{Name: "broken", File: "broken.yaml", Error: "open netns: no root", Steps: []run.StepResult{}},
			{Name: "empty", File: "empty.yaml", Steps: []run.StepResult{{
				Name: "nothing", Matrices: []run.Matrix{}, Mismatches: []run.Mismatch{},
			}}},
		},
	}
}

func TestJSONIsTheResultWithItsSums(t *testing.T) {
	var b bytes.Buffer
	if err := report.JSON(&b, result()); err != nil {
		t.Fatal(err)
	}
	var sums struct {
		Passed                    bool
		Cells, Mismatches, Errors int
	}
	var back run.Result
	for _, into := range []any{&sums, &back} {
		if err := json.Unmarshal(b.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	if sums.Passed || sums.Cells != 20 || sums.Mismatches != 1 || sums.Errors != 1 {
		t.Errorf("sums %+v", sums)
	}
	if diff := cmp.Diff(result(), back); diff != "" {
		t.Errorf("the result does not survive (-want +got):\n%s", diff)
	}
}

func TestJUnitCountsFailuresAndErrors(t *testing.T) {
	var b bytes.Buffer
	if err := report.JUnit(&b, result()); err != nil {
		t.Fatal(err)
	}
	type problem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Time  string `xml:"time,attr"`
			Cases []struct {
				Name    string   `xml:"name,attr"`
				Failure *problem `xml:"failure"`
				Error   *problem `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 5 || got.Failures != 1 || got.Errors != 2 || got.Suites[0].Time != "0.250" {
		t.Errorf("%d tests, %d failures, %d errors, first suite %s s",
			got.Tests, got.Failures, got.Errors, got.Suites[0].Time)
	}
	line := "a/one → b/three TCP/81 ipv4: expected deny, observed one-way"
	failure := got.Suites[1].Cases[0].Failure
	if failure == nil || failure.Message != "1 mismatch, first: "+line || failure.Text != "bad.yaml:7: "+line {
		t.Errorf("failure %+v", failure)
	}
	for i, want := range map[int]string{2: "open netns: no root", 3: run.NothingChecked} {
		last := got.Suites[i].Cases[len(got.Suites[i].Cases)-1]
		if last.Error == nil || last.Error.Message != want {
			t.Errorf("%s: error %+v, want %q", got.Suites[i].Name, last.Error, want)
		}
	}
}

func html(t *testing.T, r run.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHTMLNeedsNothingFromElsewhere(t *testing.T) {
	page := html(t, result())
	links := regexp.MustCompile(`(?i)(?:src|href|action|url)\s*[=(]\s*["']?([^"' >)]*)`).FindAllStringSubmatch(page, -1)
	if len(links) == 0 {
		t.Fatal("no link found: the navigation is missing, or this test looks wrongly")
	}
	for _, link := range links {
		if !strings.HasPrefix(link[1], "#") {
			t.Errorf("the page refers to %q", link[1])
		}
	}
	for _, unwanted := range []string{"<script", "@import", "ZgotmplZ"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page contains %s", unwanted)
		}
	}
}

func TestHTMLLinksLeadSomewhere(t *testing.T) {
	page := html(t, result())
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if n := strings.Count(page, fmt.Sprintf(`id="%s"`, link[1])); n != 1 {
			t.Errorf("#%s names %d elements", link[1], n)
		}
	}
}

// cells returns the class, title and text of every matrix cell of the page.
func cells(page string) []string {
	var found []string
	cell := regexp.MustCompile(`<td class="([^"]*)" title="([^"]*)">([^<]*)</td>`)
	for _, m := range cell.FindAllStringSubmatch(page, -1) {
		found = append(found, m[1]+"|"+m[2]+"|"+m[3])
	}
	return found
}

func TestHTMLTellsTheStoryOfEveryCell(t *testing.T) {
	got := cells(html(t, result()))
	if want := 3 * 9; len(got) != want { // probes that look alike share a table, those with a mismatch do not
		t.Errorf("%d cells, want %d", len(got), want)
	}
	for _, want := range []string{
		"allow start|a/one → b/two: expected allow, observed connected|✓",
		"deny|a/one → b/three: expected deny, observed blocked|✕",
		"undefined start|b/three → a/one: the API leaves this open; observed connected|✓",
		"none start|a/one → a/one: not probed|",
		"odd bad|mismatch: a/one → b/three TCP/81 ipv4: expected deny, observed one-way|⇢",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no cell %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestHTMLNamesWhatFailed(t *testing.T) {
	page := html(t, result())
	for _, want := range []string{
		"1 mismatch between", "TCP/80, UDP/53 over ipv4", "TCP/81 over ipv4", "bad.yaml:7", "Ingress of b/three is denied.",
		"open netns: no root", run.NothingChecked, "2 left open by the API", "1 probed twice",
		"Go to the first scenario that failed, bad", "&lt;script&gt;alert(1)&lt;/script&gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestHTMLOfManyMismatchesStaysReadable(t *testing.T) {
	r := result()
	step := &r.Scenarios[1].Steps[0]
	step.Mismatches = slices.Repeat(step.Mismatches, 1000)
	page := html(t, r)
	told := strings.Count(page, "Ingress of b/three is denied.")
	if told != 50 || !strings.Contains(page, "and 950 more") {
		t.Errorf("%d of 1000 mismatches are told", told)
	}
}

func TestHTMLOfSuccessSaysSo(t *testing.T) {
	r := result()
	r.Scenarios = r.Scenarios[:1]
	page := html(t, r)
	praise := "Every observed connection is what the policies mean"
	if !strings.Contains(page, praise) || strings.Contains(page, "mismatch:") {
		t.Error("the page of a run that passed does not say so")
	}
}

func TestWriteLeavesThreeCompleteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	paths, err := report.Write(dir, result())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		found = append(found, filepath.Join(dir, e.Name()))
	}
	slices.Sort(paths)
	if diff := cmp.Diff(paths, found); diff != "" || len(paths) != 3 {
		t.Errorf("files (-returned +found):\n%s", diff)
	}
}

func TestWriteFailsWhereItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Write(file, result()); err == nil || !strings.HasPrefix(err.Error(), "write reports: ") {
		t.Errorf("error %v", err)
	}
}

// TestWhatWasNotTestedIsSaid: scenarios that do not apply, and differences that a profile declares, are in every report.
func TestWhatWasNotTestedIsSaid(t *testing.T) {
	r := result()
	r.Scenarios = r.Scenarios[:1]
	r.Profile = "some-engine"
	r.Inapplicable = []run.Inapplicable{{Name: "far-away", File: "far.yaml", Reason: "needs a host outside the cluster"}}
	r.Scenarios[0].Steps[0].Limited = []run.Mismatch{{
		Kind: run.KindObservation, From: "a/one", To: "b/two", Probe: "SCTP/80", Family: "ipv4", Limit: "sctp",
		Expected: flow.Deny, Model: flow.Deny, Observed: "connected",
	}}
	if !r.Passed() || r.Totals().Limited != 1 {
		t.Fatalf("passed %v, totals %+v", r.Passed(), r.Totals())
	}
	for name, write := range map[string]func(io.Writer, run.Result) error{
		"JSON": report.JSON, "JUnit": report.JUnit, "HTML": report.HTML,
	} {
		var b bytes.Buffer
		if err := write(&b, r); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"far-away", "needs a host outside the cluster", "sctp", "a/one → b/two SCTP/80 ipv4"} {
			if name == "JSON" && strings.Contains(want, "→") {
				continue // there it is in parts
			}
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
	}
}
