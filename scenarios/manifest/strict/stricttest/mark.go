// Package stricttest lets tests mark, inside a document, the place that an error must name.
package stricttest

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Mark stands before the character that an error must point at.
const Mark = "§"

// Place takes the mark out of text and returns its line and column, counted from 1; 0, 0 where there is none.
func Place(text string) (clean string, line, col int) {
	before, after, found := strings.Cut(text, Mark)
	if !found {
		return text, 0, 0
	}
	lastLine := before[strings.LastIndex(before, "\n")+1:]
	return before + after, 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(lastLine)
}

// WantOne fails t unless err is exactly one mistake, at the given place, whose message contains want and no line break.
func WantOne(t *testing.T, err error, line, col int, want string) {
	t.Helper()
	errs, ok := err.(strict.Errors) //nolint:errorlint // A wrapped one is not exactly one mistake.
	if !ok || len(errs) != 1 {
		t.Fatalf("got %T %v, want exactly one strict.Error", err, err)
	}
	got := errs[0]
	if got.Line != line || got.Col != col {
		t.Errorf("error at %d:%d, want %d:%d: %v", got.Line, got.Col, line, col, got)
	}
	if !strings.Contains(got.Msg, want) || strings.Contains(got.Msg, "\n") {
		t.Errorf("message %q, want one line with %q", got.Msg, want)
	}
}
