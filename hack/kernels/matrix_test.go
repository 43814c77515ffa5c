package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

func nameOfKernel(k kernel) string { return k.name }

func TestPick(t *testing.T) {
	for list, want := range map[string]string{
		"":             "5.10 6.1 6.12 6.12-arm64",
		"6.12":         "6.12",
		"6.12,5.10":    "5.10 6.12",
		"6.12-arm64":   "6.12-arm64",
		"5.10,4.19":    "error",
		"5.10,":        "error",
		"6.12, 6.1":    "error",
		"6.12,6.12":    "6.12",
		"linux,latest": "error",
	} {
		got := "error"
		if picked, err := pick(kernels(), nameOfKernel, list); err == nil {
			var names []string
			for _, k := range picked {
				names = append(names, k.name)
			}
			got = strings.Join(names, " ")
		}
		if got != want {
			t.Errorf("-kernels %q: got %s, want %s", list, got, want)
		}
	}
}

func TestSourcesNameOneBuildOfAKernel(t *testing.T) {
	for name, packages := range map[string][]string{
		"5.10":       {"linux-image-5.10.0-46-cloud-amd64"},
		"6.1":        {"linux-image-6.1.0-50-cloud-amd64"},
		"6.12":       {"linux-image-6.12.117+deb13-cloud-amd64", "linux-image-6.12.115+deb13.1-cloud-amd64"},
		"6.12-arm64": {"linux-image-6.12.117+deb13-cloud-arm64"},
	} {
		i := slices.IndexFunc(kernels(), func(k kernel) bool { return k.name == name })
		pattern := kernels()[i].source.Name
		for _, p := range packages {
			if !pattern.MatchString(p) {
				t.Errorf("%s: %s does not match %s", name, p, pattern)
			}
			realtime := strings.Replace(p, "-cloud", "-rt", 1)
			for _, other := range []string{p + "-dbg", p + "-unsigned", realtime, "linux-image-cloud-amd64"} {
				if pattern.MatchString(other) {
					t.Errorf("%s: %s matches %s", name, other, pattern)
				}
			}
		}
	}
}

// TestSuitesNameTestsThatExist: a test that was renamed would leave its suite without a word.
func TestSuitesNameTestsThatExist(t *testing.T) {
	for _, s := range suites(1) {
		for _, r := range s.runs {
			text := sourceOf(t, r.pkg)
			for _, pattern := range []string{r.tests, r.skip} {
				for name := range strings.SplitSeq(strings.Trim(pattern, "^$()"), "|") {
					if name != "" && !strings.Contains(text, "func "+name+"(t *testing.T)") {
						t.Errorf("suite %s: package %s has no test %s", s.name, r.pkg, name)
					}
				}
			}
		}
	}
}

// sourceOf is the text of a package's tests.
func sourceOf(t *testing.T, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("package %s has no tests (%v)", pkg, err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

var twoSuites = []suite{{name: "packets"}, {name: "live"}}

// said is a column after a guest said something.
func said(t *testing.T, last *guest.Last, results ...guest.Result) *column {
	t.Helper()
	var console bytes.Buffer
	for i := range results {
		if err := guest.WriteResult(&console, &results[i]); err != nil {
			t.Fatal(err)
		}
	}
	if last != nil {
		if err := guest.WriteLast(&console, last); err != nil {
			t.Fatal(err)
		}
	}
	k := kernel{name: "6.1", facts: map[string]string{factHook: "clsact"}}
	c := &column{kernel: k, results: map[string]guest.Result{}}
	if err := c.read(&console, twoSuites); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestColumnIsOKOnlyWithEverything(t *testing.T) {
	end := &guest.Last{Finished: true}
	packets, live := guest.Result{Suite: "packets", Passed: 2}, guest.Result{Suite: "live", Passed: 1}
	onHook := func(hook string) guest.Result {
		r := live
		r.Facts = map[string]string{factHook: hook}
		return r
	}
	for name, c := range map[string]struct {
		column *column
		want   string // among what is wrong; empty: ok
	}{
		"all passed":         {said(t, end, packets, onHook("clsact")), ""},
		"a suite is missing": {said(t, end, packets), "live said nothing"},
		"a test failed":      {said(t, end, packets, with(live, "TestLive", "")), "TestLive failed"},
		"no test ran":        {said(t, end, packets, guest.Result{Suite: "live"}), "everything it said"},
		"a binary crashed":   {said(t, end, packets, with(live, "", "signal: killed")), "signal: killed"},
		"no end":             {said(t, nil, packets, live), "did not come to its end"},
		"kernel complains":   {said(t, &guest.Last{Finished: true, Warnings: []string{"BUG: x"}}, packets, live), "BUG: x"},
		"not as documented":  {said(t, end, packets, onHook("tcx")), `hook: "tcx", but documented is "clsact"`},
	} {
		t.Run(name, func(t *testing.T) {
			var table strings.Builder
			writeTable(&table, twoSuites, []*column{c.column})
			if got := c.column.ok(twoSuites); got != (c.want == "") {
				t.Errorf("ok is %t", got)
			}
			if !strings.Contains(table.String(), c.want) {
				t.Errorf("table does not say %q:\n%s", c.want, &table)
			}
		})
	}
}

// with is a result in which a test failed, or the binary.
func with(r guest.Result, failed, problem string) guest.Result {
	if failed != "" {
		r.Failed = []string{failed}
	}
	r.Error = problem
	return r
}

func TestTableShowsCountsAndFacts(t *testing.T) {
	c := said(t, &guest.Last{Finished: true},
		guest.Result{Suite: "packets", Passed: 12, Skipped: []string{"TestRare"}, Took: 1500 * time.Millisecond,
			Facts: map[string]string{factEgress: "100", factIngress: "200", factCapabilities: withPerfmon}},
		guest.Result{Suite: "live", Passed: 3, Took: time.Minute})
	var table strings.Builder
	writeTable(&table, twoSuites, []*column{c})
	for _, want := range []string{
		"ok, 12 (1 skipped), 1.5s", "ok, 3, 1m0s", "100/200", "BPF NET_ADMIN PERFMON", "TestRare was skipped",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("table does not say %q:\n%s", want, &table)
		}
	}
}

func TestPlanRunsEveryPackageInItsFolder(t *testing.T) {
	p := plan([]string{"/modules/veth.ko"}, suites(7))
	if len(p.Suites) != len(suites(7)) || len(p.Modules) != 1 {
		t.Fatalf("plan is %+v", p)
	}
	run := p.Suites[2].Runs[0]
	if run.Dir != "/src/sim/datapath" || run.Binary != run.Dir+"/suite.test" || !slices.Contains(run.Args, "-rapid.checks=7") {
		t.Errorf("property suite runs %+v", run)
	}
}
