package veth_test

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
	"github.com/palisade-netpol/palisade/hack/bench/veth"
)

// measure runs two quick rounds. Every round proves by itself that its packets were judged.
func measure(t *testing.T, pattern string) ([]figure.Result, []figure.Left) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	results, left, err := veth.Measure(veth.Options{
		Rounds: 2, Quick: true, Match: regexp.MustCompile(pattern).MatchString, Log: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	return results, left
}

func TestEveryTrafficPassesPalisade(t *testing.T) {
	results, left := measure(t, `: (no program|palisade, .*)$`)
	const traffics, filters = 6, 6
	if len(results) != traffics*filters || len(left) != 0 {
		t.Errorf("%d lines, %v left out", len(results), left)
	}
	for _, r := range results {
		if r.Base <= 0 || r.Time <= 0 || r.Ratio <= 0 || r.Unit == "" {
			t.Errorf("%s: not measured: %+v", r.Name, r)
		}
	}
}

func TestOthersAreMeasuredOrLeftOutWithAReason(t *testing.T) {
	results, left := measure(t, `^veth UDP established: .*(tables|OK|UNSPEC)`)
	for _, name := range []string{
		"OK program, tcx", "UNSPEC program, tcx", "OK program, clsact", "nftables conntrack only", "nftables 10 rules", "nftables 1000 rules",
		"nftables set of 10", "nftables set of 1000", "iptables 10 rules", "iptables 1000 rules",
		"iptables ipset of 10", "iptables ipset of 1000",
	} {
		found := 0
		for _, r := range results {
			if strings.HasSuffix(r.Name, ": "+name) {
				found++
			}
		}
		for _, l := range left {
			if l.Name == name && l.Reason != "" {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s has %d lines", name, found)
		}
	}
}

func TestWhatWasNotAskedForIsNotMade(t *testing.T) {
	if results, left := measure(t, "IPv4"); len(results) != 0 || len(left) != 0 {
		t.Errorf("%v, left out %v", results, left)
	}
}
