package metrics_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// noPackets are the counters of a kernel that has seen nothing.
func noPackets() ([]bpf.Counter, error) { return nil, nil }

// noMemory are the tables of a kernel that has none.
func noMemory() ([]bpf.Memory, error) { return nil, nil }

// shown asks for the page that Prometheus reads and returns its status and the samples of the agent, without the beginning
// of their names.
func shown(t *testing.T, m *metrics.Metrics) (status int, samples map[string]string) {
	t.Helper()
	w := httptest.NewRecorder()
	handler := promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{})
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	samples = map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "palisade_agent_"); ok {
			at := strings.LastIndex(name, " ")
			samples[name[:at]] = name[at+1:]
		}
	}
	return w.Code, samples
}

// expect compares samples; a value of "" means that there must be none.
func expect(t *testing.T, m *metrics.Metrics, want map[string]string) {
	t.Helper()
	_, got := shown(t, m)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func TestWhatWasEnforcedIsAddedUp(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	flows := []bpf.Usage{{Table: "flows", Entries: 5, Capacity: 10}}
	m.Enforced(20*time.Millisecond, bpf.Stats{TableWrites: 3, PodWrites: 1}, flows, 90*time.Microsecond)
	flows[0].Entries = 4
	m.Enforced(30*time.Millisecond, bpf.Stats{TableWrites: 1}, flows, 300*time.Microsecond)
	expect(t, m, map[string]string{
		`sync_seconds_sum`:                            "0.05",
		`sync_seconds_count`:                          "2",
		`writes_total{kind="table"}`:                  "4",
		`writes_total{kind="pod"}`:                    "1",
		`map_entries{table="flows"}`:                  "4",
		`map_capacity{table="flows"}`:                 "10",
		`event_to_kernel_seconds_bucket{le="0.0001"}`: "1",
		`event_to_kernel_seconds_bucket{le="0.0005"}`: "2",
		`event_to_kernel_seconds_bucket{le="+Inf"}`:   "2",
		`pod_start_seconds_count`:                     "0",
	})
}

func TestARunThatMadeNoChangeTakeEffectHasNoLatency(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	m.Enforced(time.Millisecond, bpf.Stats{}, nil, 0)
	expect(t, m, map[string]string{`event_to_kernel_seconds_count`: "0", `sync_seconds_count`: "1"})
}

func TestErrorsAndPodStartsAreCounted(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	for _, step := range []string{"tables", "attach", "tables"} {
		m.Failed(step)
	}
	m.Started(3 * time.Second)
	expect(t, m, map[string]string{
		`errors_total{step="tables"}`: "2", `errors_total{step="attach"}`: "1",
		`pod_start_seconds_bucket{le="2"}`: "0", `pod_start_seconds_bucket{le="5"}`: "1",
	})
}

// conditions are n objects with which something is wrong.
func conditions(n int) []enforce.Condition {
	out := make([]enforce.Condition, n)
	for i := range out {
		out[i] = enforce.Condition{Object: fmt.Sprintf("shop/p%03d", i), Message: "it is too large"}
	}
	return out
}

func TestConditionsGoAway(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	m.Conditions(conditions(2))
	expect(t, m, map[string]string{`conditions`: "2", `condition{object="shop/p000"}`: "1", `condition{object="shop/p001"}`: "1"})
	m.Conditions(conditions(2)[1:])
	expect(t, m, map[string]string{`conditions`: "1", `condition{object="shop/p000"}`: "", `condition{object="shop/p001"}`: "1"})
	m.Conditions(nil)
	expect(t, m, map[string]string{`conditions`: "0", `condition{object="shop/p001"}`: ""})
}

func TestOnlyAHundredConditionsAreNamedButAllAreCounted(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	m.Conditions(conditions(250))
	expect(t, m, map[string]string{
		`conditions`: "250", `condition{object="shop/p099"}`: "1", `condition{object="shop/p100"}`: "",
	})
}

// TestConditionsAreCountedByObject: one with which several things are wrong is one, those that share a condition are
// several.
func TestConditionsAreCountedByObject(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	m.Conditions([]enforce.Condition{
		{Object: "shop/a", Message: "x"}, {Object: "shop/a", Message: "y"}, {Object: "shop/a,shop/b", Message: "z"},
	})
	expect(t, m, map[string]string{
		`conditions`: "2", `condition{object="shop/a"}`: "1", `condition{object="shop/b"}`: "1",
		`condition{object="shop/a,shop/b"}`: "",
	})
}

func TestPacketsAreReadFromTheKernelEachTime(t *testing.T) {
	count := uint64(7)
	m := metrics.New(func() ([]bpf.Counter, error) {
		return []bpf.Counter{
			{Direction: flow.Ingress, Reason: bpf.ReasonNoRule, Packets: count},
			{Direction: flow.Egress, Reason: bpf.ReasonReply, Packets: 1},
			{Direction: flow.Egress, Reason: bpf.ReasonSpoofed},
		}, nil
	}, noMemory)
	for range 2 {
		expect(t, m, map[string]string{
			`packets_total{direction="ingress",reason="` + bpf.ReasonNoRule.String() + `",verdict="deny"}`: fmt.Sprint(count),
			`packets_total{direction="egress",reason="` + bpf.ReasonReply.String() + `",verdict="allow"}`:  "1",
			`packets_total{direction="egress",reason="` + bpf.ReasonSpoofed.String() + `",verdict="deny"}`: "",
		})
		count++
	}
}

// TestCountersThatCannotBeReadAreAnError: a page without them would look like a node without traffic.
func TestCountersThatCannotBeReadAreAnError(t *testing.T) {
	m := metrics.New(func() ([]bpf.Counter, error) { return nil, errors.New("no such map") }, noMemory)
	if status, _ := shown(t, m); status != http.StatusInternalServerError {
		t.Errorf("the page has status %d, want 500", status)
	}
}

func TestMemoryOfTheKernelIsShown(t *testing.T) {
	bytes := uint64(4096)
	m := metrics.New(noPackets, func() ([]bpf.Memory, error) {
		return []bpf.Memory{{Table: "flows4", Bytes: bytes}, {Table: "node", Bytes: 512}}, nil
	})
	for range 2 {
		expect(t, m, map[string]string{
			`kernel_memory_bytes{table="flows4"}`: fmt.Sprint(bytes), `kernel_memory_bytes{table="node"}`: "512",
		})
		bytes++
	}
	broken := metrics.New(noPackets, func() ([]bpf.Memory, error) { return nil, errors.New("no such map") })
	if status, _ := shown(t, broken); status != http.StatusInternalServerError {
		t.Errorf("the page has status %d, want 500", status)
	}
}

func TestFiltersAndDenialsAreCounted(t *testing.T) {
	m := metrics.New(noPackets, noMemory)
	m.Lost()
	m.Lost()
	m.Regained(3 * time.Millisecond)
	m.FlowLog(2, map[string]uint64{"logged": 5, "left-out": 7})
	m.FlowLog(1, map[string]uint64{"logged": 1, "left-out": 0})
	m.Overflow(3)
	expect(t, m, map[string]string{
		`filters_lost_total`: "2", `filter_repair_seconds_bucket{le="0.002"}`: "0", `filter_repair_seconds_bucket{le="0.005"}`: "1",
		`flow_log_lines_total`: "3", `flow_log_denials_total{outcome="logged"}`: "6",
		`flow_log_denials_total{outcome="left-out"}`: "7", `overflow_pods`: "3",
	})
	m.Overflow(0)
	expect(t, m, map[string]string{`overflow_pods`: "0"})
}
