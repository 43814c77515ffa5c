package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

func TestColoursOnlyWhereTheyAreShownAndWanted(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer func() { _ = tty.Close() }()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	tests := map[string]struct {
		file        *os.File
		env         map[string]string
		color, live bool
	}{
		"terminal":            {tty, map[string]string{"TERM": "xterm"}, true, true},
		"NO_COLOR":            {tty, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false, true},
		"terminal without it": {tty, map[string]string{"TERM": "dumb"}, false, false},
		"file":                {file, map[string]string{"TERM": "xterm"}, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := openTerminal(test.file, func(key string) string { return test.env[key] })
			if got.color != test.color || got.live != test.live {
				t.Errorf("color %v, live %v", got.color, got.live)
			}
		})
	}
}

// nine pods in three namespaces, everybody allowed.
func nine() (order, rows []string) {
	for _, key := range []string{
		"default/client-one", "default/client-two", "default/demo-app-6d5f7c9bd8-xkcd1", "kube-system/coredns-0",
		"kube-system/coredns-1", "shop/a", "shop/b", "shop/c", "shop/d",
	} {
		order = append(order, key)
		rows = append(rows, ".........")
	}
	return order, rows
}

func widest(text string) int {
	most := 0
	for line := range strings.SplitSeq(text, "\n") {
		most = max(most, printedWidth(line))
	}
	return most
}

func TestGridOfNinePodsFitsSideBySideOn80Columns(t *testing.T) {
	order, rows := nine()
	one := newGrid(order, order, false, 100, panel{rows: rows})
	if got := widest(one.String()); one.cell != 2 || got > 60 {
		t.Errorf("one matrix takes %d columns with cells of %d", got, one.cell)
	}
	s := summary{terminal: terminal{width: 80}}
	m := run.Matrix{Probe: "TCP/80", Family: "ipv4", Order: order, Expected: rows, Observed: rows}
	both := s.sideBySide(m, nil)
	if lines := strings.Split(both, "\n"); widest(both) > 80 || !strings.Contains(lines[0], "expected") ||
		!strings.Contains(lines[0], "observed") {
		t.Errorf("%d columns:\n%s", widest(both), both)
	}
	s.width = 60
	stacked := s.sideBySide(m, nil)
	if first, _, _ := strings.Cut(stacked, "\n"); widest(stacked) > 60 || strings.Contains(first, "observed") {
		t.Errorf("%d columns:\n%s", widest(stacked), stacked)
	}
}

func TestGridNumbersReadFromTopToBottom(t *testing.T) {
	var order, rows []string
	for i := range 12 {
		order = append(order, "n/"+string(rune('a'+i)))
		rows = append(rows, strings.Repeat(".", 12))
	}
	lines := strings.Split(newGrid(order, order, false, 100, panel{rows: rows}).String(), "\n")
	want := []string{
		"                                 1 1 1",
		"from ↓  to →   1 2 3 4 5 6 7 8 9 0 1 2",
		"n",
		"   1  a        . . . . . . . . . . . .",
	}
	if diff := cmp.Diff(want, lines[:4]); diff != "" {
		t.Errorf("head of the grid (-want +got):\n%s", diff)
	}
}

func TestGridSavesSpaceWhereItIsShort(t *testing.T) {
	order, rows := nine()
	if g := newGrid(order, order, false, 50, panel{rows: rows}); g.cell != 1 || widest(g.String()) > 50 {
		t.Errorf("%d columns with cells of %d", widest(g.String()), g.cell)
	}
}

func TestGridColoursDoNotMoveAnything(t *testing.T) {
	order, rows := nine()
	rows[3] = "X?-.~!..."
	marked := func(from, to int) bool { return from == 3 && to == 4 }
	plain := newGrid(order, order, false, 100, panel{"t", rows, marked}).String()
	colored := newGrid(order, order, true, 100, panel{"t", rows, marked}).String()
	if !strings.Contains(plain, "~*") {
		t.Errorf("the marked cell has no star:\n%s", plain)
	}
	if plain == colored || stripSGR(colored) != plain {
		t.Errorf("coloured, then stripped:\n%s\nplain:\n%s", stripSGR(colored), plain)
	}
}

// stripSGR removes colours, and the spaces they kept at the ends of lines.
func stripSGR(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		var b strings.Builder
		for line != "" {
			before, after, found := strings.Cut(line, "\x1b[")
			b.WriteString(before)
			if line = ""; found {
				_, line, _ = strings.Cut(after, "m")
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return strings.Join(lines, "\n")
}

func TestShortenKeepsBothEnds(t *testing.T) {
	tests := []struct {
		text  string
		width int
		want  string
	}{
		{"short", 5, "short"}, {"demo-app-6d5f7c9bd8-xkcd1", 15, "demo-ap…8-xkcd1"},
		{"abcdef", 4, "ab…f"}, {"abcdef", 2, "ab"}, {"abcdef", 0, ""},
	}
	for _, test := range tests {
		got := shorten(test.text, test.width)
		if got != test.want || printedWidth(got) > test.width {
			t.Errorf("shorten(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

func TestWrapKeepsWordsAndIndents(t *testing.T) {
	got := wrap("one two three four\nfive", 2, 12)
	if want := "  one two\n    three\n    four\n  five\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgressIsOneLineOnALiveTerminal(t *testing.T) {
	for _, live := range []bool{true, false} {
		var b strings.Builder
		p := newProgress(terminal{Writer: &b, live: live, width: 40}, 2)
		p.update(run.Progress{Index: 0, Scenario: "walkthrough", Step: 1, Steps: 9, StepName: strings.Repeat("long ", 20)})
		p.update(run.Progress{Index: 0, Scenario: "walkthrough", Done: &run.ScenarioResult{Name: "walkthrough"}})
		p.clear()
		want := "✗ walkthrough\n"
		if live {
			want = "\r\x1b[K[0/2] walkthrough 1/9 long long long l…\r\x1b[K" + want + "\r\x1b[K"
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("live %v (-want +got):\n%s", live, diff)
		}
	}
}

func TestWhyIsWrappedForPeopleOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "two.yaml")
	if err := os.WriteFile(file, []byte(`
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 10.0.0.1}}
- {apiVersion: v1, kind: Pod, metadata: {name: b}, status: {podIP: 10.0.0.2}}
- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, person := range []bool{true, false} {
		w, out, stderr := testWorld()
		w.out.wrap = person
		args := []string{"palisade", "why", "-f", file, "default/a", "default/b", "TCP/80"}
		if code := execute(t.Context(), w, args); code != 0 {
			t.Fatal(stderr)
		}
		if fits := widest(out.String()) <= 80; fits != person || strings.Count(out.String(), "Ingress of default/b") != 1 {
			t.Errorf("for a person: %v\n%s", person, out)
		}
	}
}
