package main

import (
	"testing"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

func TestEveryFixedLimitOfTheVerdictIsAboutACase(t *testing.T) {
	names := map[string]bool{}
	for _, c := range cases() {
		names[c.name] = true
	}
	for name := range musts(nil) {
		if len(name) > 5 && name[:5] == "IPv4 " && !names[name] {
			t.Errorf("there is a limit for %q and no such case", name)
		}
	}
	for _, g := range growths() {
		if !names[g.from] || !names[g.to] {
			t.Errorf("%s compares cases that do not exist", g.name)
		}
	}
}

func TestLimitsOfIPv6FollowFromIPv4(t *testing.T) {
	results := []figure.Result{
		{Name: "IPv4 reply, 1 flow", Ratio: 2}, {Name: "IPv6 reply, 1 flow", Ratio: 3.1},
		{Name: "IPv6 established, 1 flow", Ratio: 3},
	}
	limits := musts(results)
	if got := limits["IPv6 reply, 1 flow"]; got.Ratio != 3.2 || !got.Met(results[1]) {
		t.Errorf("limit of IPv6 is %v", got)
	}
	if _, ok := limits["IPv6 established, 1 flow"]; ok {
		t.Error("there is a limit although IPv4 was not measured")
	}
	if got := limits["IPv4 reply, 1 flow"].Ratio; got != 1.6 {
		t.Errorf("limit of IPv4 is %v", got)
	}
}

// TestMissedLimitsAreNamed, and only those.
func TestMissedLimitsAreNamed(t *testing.T) {
	table := figure.Table{
		Results: []figure.Result{
			{Name: "kept", Ratio: 1.5}, {Name: "slow", Time: 11}, {Name: "without a limit", Ratio: 100}, {Name: "large", Bytes: 3},
		},
		Musts: map[string]figure.Must{"kept": {Ratio: 1.5}, "slow": {Time: 10}, "large": {Bytes: 2}, "not measured": {Ratio: 1}},
	}
	if err := missed(table); err == nil || err.Error() != "limits that are missed: 2\n  slow\n  large" {
		t.Errorf("got %v", err)
	}
	table.Results = table.Results[:1]
	if err := missed(table); err != nil {
		t.Errorf("all limits are kept, and yet: %v", err)
	}
}

func TestGrowthIsAboutWhatWasMeasured(t *testing.T) {
	g := growths()[0]
	from, to := figure.Result{Name: g.from, Ratio: 2}, figure.Result{Name: g.to, Ratio: 3}
	if got := grown([]figure.Result{from}); len(got) != 0 {
		t.Errorf("growth of one figure: %v", got)
	}
	got := grown([]figure.Result{from, to})
	if len(got) != 1 || got[0].Ratio != 1.5 || musts(nil)[g.name].Met(got[0]) {
		t.Errorf("growth from 2 to 3: %v", got)
	}
}
