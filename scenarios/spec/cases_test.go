package spec

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// semanticsCase is a line of testdata/cases.txt.
type semanticsCase struct {
	number int
	rule   string
	folder string // of a test, where no scenario can show the case
	test   string
}

var caseLine = regexp.MustCompile(`^(\d+) (.*?)(?: \[(\S+) (\S+)\])?$`)

func readCases(t *testing.T) []semanticsCase {
	t.Helper()
	text, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []semanticsCase
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := caseLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("cases.txt: %q is no case", line)
		}
		number, err := strconv.Atoi(m[1])
		if err != nil || number != len(cases)+1 {
			t.Fatalf("cases.txt: %q should be case %d", line, len(cases)+1)
		}
		cases = append(cases, semanticsCase{number, m[2], m[3], m[4]})
	}
	if len(cases) != 85 {
		t.Fatalf("there are %d cases, not 85", len(cases))
	}
	return cases
}

// TestEveryCaseIsShown: what packets can show is shown by a scenario, and everything else is held by a test.
func TestEveryCaseIsShown(t *testing.T) {
	cases := readCases(t)
	shown := showing(t)
	for _, c := range cases {
		if c.folder == "" && len(shown[c.number]) == 0 {
			t.Errorf("no scenario shows case %d: %s", c.number, c.rule)
		}
		if c.folder != "" && !hasTest(t, c.folder, c.test) {
			t.Errorf("case %d: there is no test %s in %s", c.number, c.test, c.folder)
		}
	}
	for number, names := range shown {
		if number < 1 || number > len(cases) {
			t.Errorf("%v show case %d, which there is not", names, number)
		}
	}
}

// showing returns the files that show each case, by the name of the scenario, sorted.
func showing(t *testing.T) map[int][]string {
	t.Helper()
	files := map[int]map[string]bool{}
	for _, s := range loadCorpus(t) {
		for _, number := range s.Metadata.Cases {
			if files[number] == nil {
				files[number] = map[string]bool{}
			}
			files[number][s.Path()] = true
		}
	}
	shown := map[int][]string{}
	for number, paths := range files {
		shown[number] = slices.Sorted(maps.Keys(paths))
	}
	return shown
}

// hasTest looks for a test in a folder of the project.
func hasTest(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "func "+test+"(t *testing.T)")
	})
}

const casesFile = "../CASES.md"

// TestCasesAreUpToDate keeps the table that people read equal to what the scenarios say.
func TestCasesAreUpToDate(t *testing.T) {
	want := caseTable(readCases(t), showing(t))
	if *update {
		if err := os.WriteFile(casesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("CASES.md is not that of the scenarios, run go generate ./scenarios/spec (-want +file):\n%s", diff)
	}
}

func caseTable(cases []semanticsCase, shown map[int][]string) string {
	var b strings.Builder
	b.WriteString("# Cases\n\n" +
		"What a NetworkPolicy means, case by case, and which scenarios show it. Scenarios name cases by number in\n" +
		"`metadata.cases`. Made by `go generate ./scenarios/spec`.\n\n" +
		"| case | what is right | shown by |\n| --- | --- | --- |\n")
	for _, c := range cases {
		var by []string
		for _, path := range shown[c.number] {
			name := strings.TrimSuffix(path, ".yaml")
			by = append(by, fmt.Sprintf("[%s](%s)", name, path))
		}
		if c.test != "" {
			by = append(by, fmt.Sprintf("`%s` in %s", c.test, c.folder))
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c.number, c.rule, strings.Join(by, ", "))
	}
	return b.String()
}
