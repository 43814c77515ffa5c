package command

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	parse := func(args ...string) error {
		f := flag.NewFlagSet("x", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		f.Int("n", 0, "a number")
		return Parse(f, args)
	}
	for name, c := range map[string]struct {
		err  error
		code int
		said string
	}{
		"success":              {nil, 0, ""},
		"asked for help":       {parse("-h"), 0, ""},
		"right flags":          {parse("-n", "1"), 0, ""},
		"a flag it has not":    {parse("-m"), 2, ""},
		"not a number":         {parse("-n", "x"), 2, ""},
		"told how to call":     {ErrUsage, 2, ""},
		"something else fails": {errors.New("no such file"), 1, "x: no such file\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			if code := (Streams{io.Discard, &said}).exitCode("x", c.err); code != c.code || said.String() != c.said {
				t.Errorf("exits with %d and says %q, want %d and %q", code, said.String(), c.code, c.said)
			}
		})
	}
}
