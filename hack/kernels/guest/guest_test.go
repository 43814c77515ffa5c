package guest_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

func TestResultsAreFoundAmongEverythingElse(t *testing.T) {
	want := []guest.Result{
		{Suite: "packets", Kernel: "6.1", Passed: 3, Skipped: []string{"TestA"}, Took: 2 * time.Second},
		{
			Suite: "live", Kernel: "6.1", Failed: []string{"TestLive/IPv4"}, Facts: map[string]string{"hook": "clsact"},
			Error: "exit status 2",
		},
	}
	var console bytes.Buffer
	console.WriteString("SeaBIOS\x1b[2J")
	for i := range want {
		if err := guest.WriteResult(&console, &want[i]); err != nil {
			t.Fatal(err)
		}
		console.WriteString("[   1.0] a kernel's word\r\nhalf a line ")
	}
	if err := guest.WriteLast(&console, &guest.Last{Finished: true, Warnings: []string{"BUG: x"}}); err != nil {
		t.Fatal(err)
	}
	got, last, err := guest.Read(strings.NewReader(strings.ReplaceAll(console.String(), "\n", "\r\n")))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	if !last.Finished || len(last.Warnings) != 1 {
		t.Errorf("last word is %+v", last)
	}
}

func TestACutResultIsAnError(t *testing.T) {
	const cut = `@palisade-result {"Suite":"live","Pas[ 1.0] kernel` + "\n"
	if got, _, err := guest.Read(strings.NewReader(cut)); err == nil {
		t.Errorf("got %+v", got)
	}
}

func TestAGuestThatPanicsHasNotFinished(t *testing.T) {
	got, last, err := guest.Read(strings.NewReader("Kernel panic - not syncing\n"))
	if err != nil || len(got) != 0 || last.Finished {
		t.Errorf("got %+v, %+v (%v)", got, last, err)
	}
}

func TestOK(t *testing.T) {
	for name, c := range map[string]struct {
		result guest.Result
		want   bool
	}{
		"passed":           {guest.Result{Passed: 1}, true},
		"passed and skips": {guest.Result{Passed: 1, Skipped: []string{"TestA"}}, true},
		"no test":          {guest.Result{}, false},
		"all skipped":      {guest.Result{Skipped: []string{"TestA"}}, false},
		"one failed":       {guest.Result{Passed: 1, Failed: []string{"TestA"}}, false},
		"ended early":      {guest.Result{Passed: 1, Error: "signal: killed"}, false},
	} {
		if got := c.result.OK(); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// events are in the form of test2json.
const events = `{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"attr","Test":"TestA","Key":"hook","Value":"tcx"}
{"Action":"run","Test":"TestA/one"}
{"Action":"output","Test":"TestA/one","Output":"    a_test.go:1: broken\n"}
{"Action":"fail","Test":"TestA/one","Elapsed":0.1}
{"Action":"run","Test":"TestA/two"}
{"Action":"output","Test":"TestA/two","Output":"    a_test.go:2: fine\n"}
{"Action":"pass","Test":"TestA/two","Elapsed":0.1}
{"Action":"fail","Test":"TestA","Elapsed":0.2}
{"Action":"skip","Test":"TestB","Elapsed":0}
{"Action":"output","Output":"FAIL\n"}
{"Action":"fail","Elapsed":0.3}
`

func TestCollectCountsTestsAndShowsFailures(t *testing.T) {
	r := guest.Result{Passed: 4}
	var log strings.Builder
	if err := r.Collect(strings.NewReader(events), &log); err != nil {
		t.Fatal(err)
	}
	want := guest.Result{
		Passed: 5, Failed: []string{"TestA/one", "TestA"}, Skipped: []string{"TestB"}, Facts: map[string]string{"hook": "tcx"},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	for text, want := range map[string]bool{"broken": true, "fine": false, "FAIL": true} {
		if strings.Contains(log.String(), text) != want {
			t.Errorf("%q in the log: want %t in\n%s", text, want, &log)
		}
	}
}

func TestCollectRefusesWhatIsNoEvent(t *testing.T) {
	var r guest.Result
	if err := r.Collect(strings.NewReader("panic: test timed out\n"), &strings.Builder{}); err == nil {
		t.Errorf("got %+v", r)
	}
}
