package v1alpha1

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodeRules(t *testing.T) {
	tests := map[string]struct {
		rules []int
		want  string
	}{
		"nothing":             {nil, ""},
		"one":                 {[]int{7}, "7*1"},
		"runs":                {[]int{0, 0, 0, 1, 1}, "0*3,1*2"},
		"a rule in two runs":  {[]int{0, 1, 0}, "0*1,1*1,0*1"},
		"more than one digit": {slices.Repeat([]int{12}, 100), "12*100"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := EncodeRules(tt.rules); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRulesSurviveTheAnnotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOf(rapid.IntRange(0, 3)).Draw(t, "rules")
		got, err := DecodeRules(EncodeRules(rules), len(rules))
		if err != nil || !slices.Equal(got, rules) {
			t.Errorf("%v became %v, %v", rules, got, err)
		}
	})
}

func TestDecodeRulesRefuses(t *testing.T) {
	tests := map[string]struct {
		text    string
		entries int
	}{
		"too few":            {"0*2", 3},
		"too many":           {"0*2,1*2", 3},
		"nothing for some":   {"", 1},
		"something for none": {"0*1", 0},
		"a run of none":      {"0*0,1*3", 3},
		"no count":           {"0", 1},
		"no rule":            {"*1", 1},
		"a negative rule":    {"-1*1", 1},
		"a negative count":   {"0*-1", 1},
		"an empty run":       {"0*1,", 1},
		"spaces":             {"0*1, 1*1", 2},
		"a huge count":       {"0*2147483647", 3},
		"a count too long":   {"0*99999999999999999999", 3},
		"another separator":  {"0*1*1", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := DecodeRules(tt.text, tt.entries); err == nil {
				t.Errorf("DecodeRules(%q, %d) = %v, want an error", tt.text, tt.entries, got)
			}
		})
	}
}

func FuzzDecodeRules(f *testing.F) {
	f.Add("0*3,1*2", 5)
	f.Add("0*3,,", 5)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 0 || n > 1<<16 {
			t.Skip("no list is that long")
		}
		rules, err := DecodeRules(text, n)
		if err == nil && len(rules) != n {
			t.Errorf("DecodeRules(%q, %d) has %d rules", text, n, len(rules))
		}
	})
}

func TestPolicyName(t *testing.T) {
	for name, c := range map[string]struct{ ref, annotation, want string }{
		"a policy":                        {"web", "", "web"},
		"a policy with a dot":             {"we.b-1", "", "we.b-1"},
		"a variant":                       {"web.0123456789", "web", "web"},
		"a variant of an earlier version": {"we.b-1:http/TCP=", "", "we.b-1"},
		"a variant whose pods are closed": {"web.0123456789:closed", "web", "web"},
		"nothing":                         {"", "", ""},
	} {
		o := &PolicyEndpoint{Spec: PolicyEndpointSpec{PolicyRef: PolicyReference{Name: c.ref}}}
		if c.annotation != "" {
			annotate(o, PolicyAnnotation, c.annotation)
		}
		if got := PolicyName(o); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestObjectsOfOthersAreUnmarked(t *testing.T) {
	if got := CompletenessOf([]*PolicyEndpoint{{}, {}}); got != Unmarked {
		t.Errorf("objects without annotations: %v, want unmarked", got)
	}
	if got := CompletenessOf(nil); got != Unmarked {
		t.Errorf("no objects: %v, want unmarked", got)
	}
}

func TestSetOfOwnAndForeignObjectsIsPartial(t *testing.T) {
	own, foreign := &PolicyEndpoint{}, &PolicyEndpoint{}
	own.Name, foreign.Name = "p-a", "p-b"
	if err := MarkComplete([]*PolicyEndpoint{own}); err != nil {
		t.Fatal(err)
	}
	if got := CompletenessOf([]*PolicyEndpoint{own}); got != Complete {
		t.Errorf("own object alone: %v, want complete", got)
	}
	if got := CompletenessOf([]*PolicyEndpoint{foreign, own}); got != Partial {
		t.Errorf("with a foreign object: %v, want partial", got)
	}
}
