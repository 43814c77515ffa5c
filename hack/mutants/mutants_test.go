package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEveryMutantApplies is the cheap half of planting: names are unique, texts occur once, tests exist.
func TestEveryMutantApplies(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range allMutants() {
		if seen[m.Name] || m.Why == "" || m.Old == m.New || len(m.Tests) == 0 {
			t.Errorf("%s: a name for two, no reason, no change, or no test", m.Name)
		}
		seen[m.Name] = true
		text, err := os.ReadFile(filepath.Join("../..", m.File))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		} else if n := strings.Count(string(text), m.Old); n != 1 {
			t.Errorf("%s: %s has its text %d times, want once", m.Name, m.File, n)
		}
		for _, test := range m.Tests {
			if !exists(t, test) {
				t.Errorf("%s: there is no test %s", m.Name, test)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d bugs", len(seen))
	}
}

// exists says whether "directory:REGEXP" matches a test.
func exists(t *testing.T, spec string) bool {
	t.Helper()
	dir, pattern, _ := strings.Cut(spec, ":")
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			if regexp.MustCompile(pattern).Match(m[1]) {
				return true
			}
		}
	}
	return false
}

// toy is a tree with one function, and a test that looks at half of what it does.
func toy(t *testing.T) *lab {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module toy\n\ngo 1.26\n",
		"abs/abs.go": "package abs\n\nfunc Abs(n int) int {\n\tif n < 0 {\n\t\treturn -n\n\t}\n\treturn n\n}\n\n" +
			"func Half(n int) int { return n / 2 }\n",
		"abs/abs_test.go": "package abs\n\nimport \"testing\"\n\nfunc TestAbs(t *testing.T) {\n\t" +
			"t.Run(\"minus\", func(t *testing.T) {\n\t\tif Abs(-1) != 1 {\n\t\t\tt.Error()\n\t\t}\n\t})\n}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &lab{copy: &treeCopy{dir}, stdout: &strings.Builder{}, limit: time.Minute}
}

func TestLab(t *testing.T) {
	abs := Mutant{Name: "m", Why: "w", File: "abs/abs.go", Old: "return -n", New: "return n", Tests: []string{"abs:TestAbs"}}
	survivor, broken, gone, late := abs, abs, abs, abs
	survivor.Old, survivor.New = "n / 2", "n / 3"
	broken.New = "return \"n\""
	gone.Old = "return n-"
	late.Tests = []string{"abs:TestNothing", "abs"}
	for _, c := range []struct {
		name   string
		mutant Mutant
		says   string
		err    error
	}{
		{"a bug that its test notices", abs, "caught   m", nil},
		{"a bug that another test notices", late, "abs TestAbs/minus", nil},
		{"a bug that no test notices", survivor, "SURVIVES m", errSurvived},
		{"a bug that does not compile", broken, "does not compile", errSurvived},
		{"a patch that does not apply", gone, "does not apply", errSurvived},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := toy(t)
			before, err := os.ReadFile(filepath.Join(l.copy.dir, abs.File))
			if err != nil {
				t.Fatal(err)
			}
			if err := l.run(t.Context(), []Mutant{c.mutant}); !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
			if out := l.stdout.(*strings.Builder).String(); !strings.Contains(out, c.says) {
				t.Errorf("the output does not say %q:\n%s", c.says, out)
			}
			if after, err := os.ReadFile(filepath.Join(l.copy.dir, abs.File)); err != nil || string(after) != string(before) {
				t.Errorf("the copy is not as it was (%v)", err)
			}
		})
	}
}

func TestTestsThatFailWithoutABugProveNothing(t *testing.T) {
	l := toy(t)
	if err := os.WriteFile(filepath.Join(l.copy.dir, "abs/more_test.go"),
		[]byte("package abs\n\nimport \"testing\"\n\nfunc TestNo(t *testing.T) { t.Error() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := l.run(t.Context(), []Mutant{{Name: "m", File: "abs/abs.go", Old: "n / 2", New: "n / 3", Tests: []string{"abs"}}})
	if err == nil || !strings.Contains(err.Error(), "fails without any bug") {
		t.Errorf("got %v", err)
	}
}
