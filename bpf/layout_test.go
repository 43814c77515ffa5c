package bpf_test

import (
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestEveryReasonHasAWord: a reason that is added to layout.h gets a word for metrics and people, and its side of the
// border between passing and dropping.
func TestEveryReasonHasAWord(t *testing.T) {
	words := map[string]bpf.Reason{}
	for r := bpf.ReasonNone; r < bpf.ReasonCount; r++ {
		if r > bpf.ReasonUnknownPodOpen && r < bpf.ReasonFirstDrop {
			continue // unused numbers below the first drop
		}
		word := r.String()
		if other, taken := words[word]; taken || strings.HasPrefix(word, "reason-") {
			t.Errorf("reason %d is called %q, as is %d", r, word, other)
		}
		words[word] = r
		want := flow.Allow
		if r >= bpf.ReasonFirstDrop {
			want = flow.Deny
		}
		if r.Verdict() != want {
			t.Errorf("%s: verdict %s, want %s", r, r.Verdict(), want)
		}
	}
}
