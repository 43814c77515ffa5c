package strict_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict/stricttest"
)

type inner struct {
	Deep []int32 `json:"deep"`
}

type Inlined struct {
	Flag bool `json:"flag"`
}

type target struct {
	Inlined `json:",inline"`
	Text    string             `json:"text"`
	Number  int32              `json:"number"`
	Opt     *int32             `json:"opt"`
	List    []inner            `json:"list"`
	Map     map[string]string  `json:"map"`
	Port    intstr.IntOrString `json:"port"`
	private string             //nolint:unused // TestDecodeRefuses asks for it in vain.
}

func decode(t *testing.T, text string) (target, strict.Errors) {
	t.Helper()
	docs, errs := strict.Parse("f.yaml", []byte(text))
	if len(errs) > 0 || len(docs) != 1 {
		t.Fatalf("parse: %d documents, %v", len(docs), errs)
	}
	var v target
	return v, strict.Decode(docs[0], &v)
}

func TestDecodeReads(t *testing.T) {
	ptr := func(n int32) *int32 { return &n }
	for name, c := range map[string]struct {
		text string
		want target
	}{
		"block style": {"text: a\nnumber: 7\n", target{Text: "a", Number: 7}},
		"json": {
			`{"text": "a", "opt": 7, "flag": true}`,
			target{Text: "a", Opt: ptr(7), Inlined: Inlined{true}},
		},
		"null is not given":     {"text: null\nlist: ~\nnumber:\n", target{}},
		"quoted yes":            {"text: 'yes'", target{Text: "yes"}},
		"hexadecimal and octal": {"number: 0x1F\nopt: 0o17", target{Number: 31, Opt: ptr(15)}},
		"a date is a string":    {"text: 2024-01-02", target{Text: "2024-01-02"}},
		"anchors": {
			"list: [&l {deep: [1]}, *l]",
			target{List: []inner{{[]int32{1}}, {[]int32{1}}}},
		},
		"merge keys lose": {
			"map: {<<: {a: '1', b: '2'}, a: '3'}",
			target{Map: map[string]string{"a": "3", "b": "2"}},
		},
		"the first merge wins": {
			"map: {<<: [{a: '1'}, {a: '2', b: '2'}]}",
			target{Map: map[string]string{"a": "1", "b": "2"}},
		},
		"a type that reads JSON": {"port: http", target{Port: intstr.FromString("http")}},
		"numbers as map keys":    {"map: {1: a}", target{Map: map[string]string{"1": "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			docs, errs := strict.Parse("f.yaml", []byte(c.text))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			var got target
			if errs := strict.Decode(docs[0], &got); len(errs) > 0 {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(target{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown field":              {"§textt: a", `unknown field "textt"`},
		"unknown deep field":         {"list:\n  - deep: [1]\n    §deap: 2", `unknown field "list[0].deap"`},
		"a field in another case":    {"§Text: a", `unknown field "Text"`},
		"an unexported field":        {"§private: a", `unknown field "private"`},
		"a number for a string":      {"text: §1", "text must be a string, not an integer"},
		"a string for a number":      {`number: §"1"`, "number must be an integer, not a string"},
		"a fraction":                 {"number: §1.5", "number must be an integer, not a number"},
		"too large":                  {"number: §2147483648", "number: 2147483648 does not fit into 32 bits"},
		"a mapping for a list":       {"list: §{deep: [1]}", "list must be a list, not a mapping"},
		"a list for a mapping":       {"map: §[a]", "map must be a mapping, not a list"},
		"a scalar for a struct":      {"list: [§a]", "list[0] must be a mapping, not a string"},
		"null in a list":             {"list: [§null]", "list[0] must not be null"},
		"deep in lists":              {"list: [{deep: [1, §x]}]", "list[0].deep[1] must be an integer, not a string"},
		"an unquoted yes":            {"text: §yes", "text must be a string, not an unquoted yes"},
		"an unquoted on as key":      {"map: {§on: a}", "the keys of map must be strings, not an unquoted yes"},
		"a type that reads JSON":     {"port: §1.5", "port: cannot unmarshal number 1.5"},
		"a map of numbers":           {"map: {a: §1}", "map[a] must be a string, not an integer"},
		"columns count characters":   {"map: {äöü: §1}", "map[äöü] must be a string"},
		"a merged field is no field": {"<<: {§texxt: a}", `unknown field "texxt"`},
	} {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(c.text)
			_, errs := decode(t, text)
			stricttest.WantOne(t, errs.Err(), line, col, c.want)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a field twice":              {"a: 1\nb: 2\n§a: 3", `field "a" is given twice, first in line 1`},
		"a list as a key":            {"? §[a]\n: b", "a field name must be a string, not a list"},
		"an anchor inside itself":    {"a: &x\n  b: §*x", `the anchor "x" contains itself`},
		"a tag":                      {"a: §!!binary aGk=", "the YAML tag !!binary has no meaning here"},
		"a private tag on a mapping": {"§!mine {a: b}", "the YAML tag !mine has no meaning here"},
		"a merge of a string":        {"<<: §a", "a merge key (<<) needs a mapping or a list of mappings"},
	} {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(c.text)
			_, errs := strict.Parse("f.yaml", []byte(text))
			stricttest.WantOne(t, errs.Err(), line, col, c.want)
		})
	}
}

func TestParseNamesTheLineOfASyntaxError(t *testing.T) {
	_, errs := strict.Parse("f.yaml", []byte("a: 1\nb: [\n"))
	if len(errs) != 1 || errs[0].Line == 0 || !strings.Contains(errs[0].Msg, "not valid YAML") {
		t.Errorf("got %v, want one syntax error with its line", errs)
	}
}

func TestParseLimitsAliasBombs(t *testing.T) {
	text := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		from, to := string(rune('a'+i)), string(rune('b'+i))
		text += to + ": &" + to + " [" + strings.Repeat("*"+from+", ", 9) + "*" + from + "]\n"
	}
	_, errs := strict.Parse("f.yaml", []byte(text))
	if len(errs) != 1 || !strings.Contains(errs[0].Msg, "too large") {
		t.Errorf("got %v, want one error about the size", errs)
	}
}

func TestParseReturnsEveryDocument(t *testing.T) {
	docs, errs := strict.Parse("f.yaml", []byte("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n"))
	if len(errs) > 0 || len(docs) != 2 || docs[1].Line != 6 {
		t.Errorf("got %d documents, %v; want 2, the second from line 6", len(docs), errs)
	}
}

func TestAllMistakesAreReportedInOrder(t *testing.T) {
	_, errs := decode(t, "number: x\ntext: 1\nnope: 2\n")
	var lines []int
	var all strict.Errors
	if !errors.As(errs.Err(), &all) {
		t.Fatalf("got %T, want strict.Errors", errs.Err())
	}
	for _, e := range all {
		lines = append(lines, e.Line)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsCanBeFound(t *testing.T) {
	_, errs := decode(t, "nope: 2")
	first, ok := errors.AsType[*strict.Error](errs.Err())
	if !ok || first.Error() != `f.yaml:1:1: unknown field "nope"` {
		t.Errorf("got %v", first)
	}
}

func TestAtFollowsFieldPaths(t *testing.T) {
	docs, _ := strict.Parse("f.yaml", []byte("spec:\n  ports:\n  - port: 80\n  labels: {a.b/c: d}\n"))
	for path, want := range map[string][2]int{
		"":                   {1, 1},
		"spec":               {2, 3},
		"spec.ports[0].port": {3, 11},
		"spec.labels[a.b/c]": {4, 19},
		"spec.ports[0].name": {3, 5}, // absent: where it belongs
		"spec.ports[7].port": {3, 3},
		"status.podIP":       {1, 1},
	} {
		n := docs[0].At(path)
		if got := [2]int{n.Line, n.Col}; got != want {
			t.Errorf("At(%q) is at %v, want %v", path, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("kind: Pod\nmetadata: {name: a}\nspec: {containers: [{ports: [{containerPort: 80}]}]}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("a: !!int x\nb: 0o-5\n? : c"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, errs := strict.Parse("f", data)
		for _, doc := range docs {
			var pod corev1.Pod
			errs = append(errs, strict.Decode(doc, &pod)...)
		}
		for _, e := range errs {
			if e.Msg == "" || strings.Contains(e.Msg, "\n") {
				t.Errorf("error without a sentence: %#v", e)
			}
		}
	})
}
