package matrix_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
)

func TestCompareKeepsThePodsOfBoth(t *testing.T) {
	was := matrix.Matrix{From: []string{"n/a", "n/b", "n/gone"}, To: []string{"n/a", "n/b", "n/gone"},
		Rows: []string{".XX", "..X", "XX."}}
	is := matrix.Matrix{From: []string{"n/a", "n/b", "n/new"}, To: []string{"n/a", "n/b", "n/new"},
		Rows: []string{"..X", "..X", "XX."}}
	c := matrix.Compare(was, is)
	want := matrix.Comparison{
		Was:     matrix.Matrix{From: []string{"n/a", "n/b"}, To: []string{"n/a", "n/b"}, Rows: []string{".X", ".."}},
		Is:      matrix.Matrix{From: []string{"n/a", "n/b"}, To: []string{"n/a", "n/b"}, Rows: []string{"..", ".."}},
		Added:   []string{"n/new"},
		Removed: []string{"n/gone"},
	}
	if diff := cmp.Diff(want, c); diff != "" || c.Differences() != 1 {
		t.Errorf("%d differences, comparison (-want +got):\n%s", c.Differences(), diff)
	}
	changed := c.Changed()
	if !cmp.Equal(changed.Is.From, []string{"n/a"}) || !cmp.Equal(changed.Is.To, []string{"n/b"}) ||
		!cmp.Equal(changed.Was.Rows, []string{"X"}) || !cmp.Equal(changed.Is.Rows, []string{"."}) {
		t.Errorf("cropped to what changed: %+v", changed)
	}
}

func TestPatterns(t *testing.T) {
	pods := []*corev1.Pod{pod("shop/web-1", ""), pod("shop/db", ""), pod("shop-dev/web-1", "")}
	pods[0].Labels = map[string]string{"app": "web", "app.kubernetes.io/name": "web"}
	pods[1].Labels = map[string]string{"app": "db"}
	tests := map[string][]string{
		"shop/web-1":                 {"shop/web-1"},
		"shop":                       {"shop/web-1", "shop/db"},
		"shop/*":                     {"shop/web-1", "shop/db"},
		"shop*/web-?":                {"shop/web-1", "shop-dev/web-1"},
		"*/web-*":                    {"shop/web-1", "shop-dev/web-1"},
		"app=web":                    {"shop/web-1"},
		"app.kubernetes.io/name=web": {"shop/web-1"},
		"app in (web, db)":           {"shop/web-1", "shop/db"},
		"app,app!=db":                {"shop/web-1"},
		"!app":                       {"shop-dev/web-1"},
		"nobody":                     {},
	}
	for text, want := range tests {
		p, err := matrix.ParsePattern(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := matrix.Keys(matrix.Select(pods, []matrix.Pattern{p})); !cmp.Equal(want, got) {
			t.Errorf("%s selects %q, want %q", text, got, want)
		}
	}
	if got := matrix.Select(pods, nil); len(got) != len(pods) {
		t.Errorf("without a pattern %d pods, want all", len(got))
	}
	for _, text := range []string{"", "a/b/c", "/a", "a/", "[/b", "app in web", "=x"} {
		if _, err := matrix.ParsePattern(text); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
}
