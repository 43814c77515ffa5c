package main

import "testing"

func TestMetricAddsLinesOfOneName(t *testing.T) {
	const page = `# HELP writes_total Requests.
# TYPE writes_total counter
writes_total{verb="create"} 3
writes_total{verb="delete"} 1e+03
writes_total_more 7
plain 2.5
`
	for name, want := range map[string]float64{"writes_total": 1003, "plain": 2.5, "absent": 0, "writes": 0} {
		got, err := metric(page, name)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
	}
	if _, err := metric("broken x\n", "broken"); err == nil {
		t.Error("a value that is no number is accepted")
	}
}

func TestStatusLine(t *testing.T) {
	const page = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
	if got, err := statusLine(page, "VmRSS:"); got != 1 || err != nil {
		t.Errorf("%v MiB, %v, want 1", got, err)
	}
	if _, err := statusLine(page, "VmSwap:"); err == nil {
		t.Error("a line that is not there is found")
	}
}
