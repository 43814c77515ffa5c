package figure_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

func print(t *testing.T, table figure.Table) []string {
	t.Helper()
	var b strings.Builder
	if err := table.Print(&b); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(b.String()), "\n")
}

// columns are the words of a line, however they are aligned.
func columns(line string) string { return strings.Join(strings.Fields(line), " ") }

func TestTableSaysWhichLimitsAreKept(t *testing.T) {
	lines := print(t, figure.Table{
		Results: []figure.Result{
			{Name: "kept", Base: 1000, Time: 1040, Ratio: 1.04, Unit: "packets"},
			{Name: "missed", Base: 1000, Time: 1050, Ratio: 1.05},
			{Name: "free", Time: 12_345_678},
			{Name: "quick", Time: 900_000},
			{Name: "small", Bytes: 12 << 20},
			{Name: "nothing", Bytes: 0},
		},
		Musts: map[string]figure.Must{
			"kept": {Ratio: 1.045}, "missed": {Ratio: 1.045}, "quick": {Time: 1e6}, "small": {Bytes: 16 << 20},
			"nothing": {Bytes: 2000}, "not measured": {Ratio: 1},
		},
		Left: []figure.Left{{Name: "ipset", Reason: "no kernel support"}},
	})
	want := []string{
		"case base measured ratio per second must met",
		"kept 1µs 1.04µs 1.040 961,538 packets ≤ 1.045 yes",
		"missed 1µs 1.05µs 1.050 ≤ 1.045 NO",
		"free 12.3ms",
		"quick 900µs ≤ 1ms yes",
		"small 12.0 MiB ≤ 16.0 MiB yes",
		"nothing 0 B ≤ 2.0 KiB yes",
		"left out: ipset: no kernel support",
		"4 of 5 limits are kept.",
	}
	for i := range want {
		if i >= len(lines) || columns(lines[i]) != want[i] {
			t.Fatalf("line %d:\n%s\nwant\n%s", i, strings.Join(lines, "\n"), want[i])
		}
	}
}

func TestTableShowsWhatAnEarlierRunSaid(t *testing.T) {
	lines := print(t, figure.Table{
		Results: []figure.Result{
			{Name: "a", Base: 20, Time: 50, Ratio: 2.5}, {Name: "b", Time: 2e6}, {Name: "c", Time: 3e6},
		},
		Before: map[string]figure.Result{"a": {Ratio: 2.25}, "b": {Time: 4e6}},
	})
	want := []string{
		"case base measured ratio per second baseline must met", "a 20.0ns 50.0ns 2.50 2.25", "b 2ms 4ms", "c 3ms new",
	}
	for i := range want {
		if columns(lines[i]) != want[i] {
			t.Errorf("line %d is %q, want %q", i, columns(lines[i]), want[i])
		}
	}
}

func TestResultsSurviveAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	want := figure.Result{Name: "a", Base: 1, Time: 2, Ratio: 2, Unit: "packets"}
	if err := figure.Write(path, []figure.Result{want, {Name: "b", Bytes: 7}}); err != nil {
		t.Fatal(err)
	}
	got, err := figure.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, map[string]figure.Result{"a": want, "b": {Name: "b", Bytes: 7}}) {
		t.Errorf("read %v", got)
	}
}

func TestWithoutABaselineThereIsNoColumnForIt(t *testing.T) {
	if before, err := figure.Read(""); before != nil || err != nil {
		t.Errorf("no path reads %v, %v", before, err)
	}
	if _, err := figure.Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}
