// Package metrics is what an agent shows of itself to Prometheus. Times are in seconds.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// namespace begins the names of all metrics of an agent.
const namespace = "palisade_agent"

// maxNamed is how many objects with conditions are shown by their name; the number of all is shown in any case.
const maxNamed = 100

// Metrics are the metrics of one agent. Its methods may be called from several goroutines.
type Metrics struct {
	Registry *prometheus.Registry

	latency    prometheus.Histogram
	sync       prometheus.Histogram
	writes     *prometheus.CounterVec
	errors     *prometheus.CounterVec
	start      prometheus.Histogram
	lost       prometheus.Counter
	regained   prometheus.Histogram
	lines      prometheus.Counter
	denials    *prometheus.CounterVec
	entries    *prometheus.GaugeVec
	capacity   *prometheus.GaugeVec
	conditions prometheus.Gauge
	condition  *prometheus.GaugeVec
	overflow   prometheus.Gauge
}

// New makes the metrics and registers them, and those of the Go runtime and the process, in a registry of their own.
// verdicts reads the counters of the kernel, memory what its tables take.
func New(verdicts func() ([]bpf.Counter, error), memory func() ([]bpf.Memory, error)) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		latency: histogram("event_to_kernel_seconds",
			"Time from the receipt of a change to its enforcement by the kernel."),
		sync: histogram("sync_seconds", "Time to compile what is to be enforced and to write it."),
		writes: prometheus.NewCounterVec(opts("writes_total",
			"Entries written to the kernel, by kind of table."), []string{"kind"}),
		errors: prometheus.NewCounterVec(opts("errors_total", "What failed and is tried again, by step."), []string{"step"}),
		start:  histogram("pod_start_seconds", "Time that the start of a pod waited for the agent."),
		lost: prometheus.NewCounter(prometheus.CounterOpts(opts("filters_lost_total",
			"How often somebody else removed or replaced the filter of a pod's interface."))),
		regained: histogram("filter_repair_seconds", "Time from finding such a filter lost until the interface was filtered again."),
		lines:    prometheus.NewCounter(prometheus.CounterOpts(opts("flow_log_lines_total", "Lines written to the flow log."))),
		denials: prometheus.NewCounterVec(opts("flow_log_denials_total",
			"Denials by what the flow log says of them: logged, left-out (counted only), unread (denied packets without a report)."),
			[]string{"outcome"}),
		entries: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("map_entries",
			"Entries in use, by table.")), []string{"table"}),
		capacity: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("map_capacity",
			"Entries that there is room for, by table.")), []string{"table"}),
		conditions: prometheus.NewGauge(prometheus.GaugeOpts(opts("conditions",
			"Number of objects with which something is wrong; the log says what."))),
		condition: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("condition",
			"1 for each object with which something is wrong, up to a hundred.")), []string{"object"}),
		overflow: prometheus.NewGauge(prometheus.GaugeOpts(opts("overflow_pods",
			"Number of pods that are closed in some direction because their policies do not fit in the tables."))),
	}
	m.Registry.MustRegister(m.latency, m.sync, m.writes, m.errors, m.start, m.lost, m.regained, m.lines, m.denials, m.entries, m.capacity, m.conditions,
		m.condition, m.overflow, newPackets(verdicts), newMemory(memory),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
}

// histogram has buckets from 0.1 ms to 100 s, three to a decade.
func histogram(name, help string) prometheus.Histogram {
	o := prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help}
	for decade := 0.0001; decade < 100; decade *= 10 {
		o.Buckets = append(o.Buckets, decade, 2*decade, 5*decade)
	}
	return prometheus.NewHistogram(o)
}

// Enforced notes a run that succeeded: how long it took, what it wrote, how full the tables are, and, if it made a
// change take effect, how long after its receipt.
func (m *Metrics) Enforced(took time.Duration, stats bpf.Stats, usage []bpf.Usage, latency time.Duration) {
	m.sync.Observe(took.Seconds())
	if latency > 0 {
		m.latency.Observe(latency.Seconds())
	}
	m.writes.WithLabelValues("table").Add(float64(stats.TableWrites))
	m.writes.WithLabelValues("pod").Add(float64(stats.PodWrites))
	for _, u := range usage {
		m.entries.WithLabelValues(u.Table).Set(float64(u.Entries))
		m.capacity.WithLabelValues(u.Table).Set(float64(u.Capacity))
	}
}

// Failed counts an error in a step.
func (m *Metrics) Failed(step string) { m.errors.WithLabelValues(step).Inc() }

// Started notes how long the start of a pod waited.
func (m *Metrics) Started(took time.Duration) { m.start.Observe(took.Seconds()) }

// Lost counts a filter that somebody else removed or replaced.
func (m *Metrics) Lost() { m.lost.Inc() }

// Regained notes how long such an interface was not filtered after that was found.
func (m *Metrics) Regained(after time.Duration) { m.regained.Observe(after.Seconds()) }

// FlowLog counts what the flow log wrote: lines, and denials by outcome.
func (m *Metrics) FlowLog(lines uint64, denials map[string]uint64) {
	m.lines.Add(float64(lines))
	for outcome, n := range denials {
		m.denials.WithLabelValues(outcome).Add(float64(n))
	}
}

// Overflow replaces the number of pods that are closed for want of room.
func (m *Metrics) Overflow(pods int) { m.overflow.Set(float64(pods)) }

// Conditions replaces the objects that are shown by those of all conditions.
func (m *Metrics) Conditions(all []enforce.Condition) {
	objects := enforce.ObjectsOf(all)
	m.conditions.Set(float64(len(objects)))
	m.condition.Reset()
	for _, name := range objects[:min(len(objects), maxNamed)] {
		m.condition.WithLabelValues(name).Set(1)
	}
}
