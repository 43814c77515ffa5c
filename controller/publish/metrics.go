package publish

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// namespace begins the names of all metrics of the controller.
const namespace = "palisade_controller"

// metrics are what /metrics shows, in a registry of their own. All times are in seconds.
type metrics struct {
	registry  *prometheus.Registry
	leading   prometheus.Gauge
	objects   *prometheus.GaugeVec   // by resource
	resolve   prometheus.Histogram   // one policy, without writes
	reconcile prometheus.Histogram   // one policy, with writes
	published prometheus.Histogram   // from the event to the end of the writes that it caused
	writes    *prometheus.CounterVec // by verb and result
	events    *prometheus.CounterVec // by reason and result
	warnings  prometheus.Counter
	queue     queueMetrics
}

// newMetrics registers everything. selectorsAsked is read at each scrape.
func newMetrics(selectorsAsked func() float64) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "selectors_asked_total",
			Help: "Label selectors that were compared with an object because of an event.",
		}, selectorsAsked))
	m.queue = newQueueMetrics(m)
	m.leading = m.gauge("leading", "1 where this replica publishes, else 0.")
	m.warnings = m.counter("warnings_total", "Objects that need attention, see the log.")
	m.resolve = m.histogram("resolve_duration_seconds", "Time to compute what one policy comes to.", fromMicroseconds())
	m.reconcile = m.histogram("reconcile_duration_seconds", "Time to compute and write one policy.", fromMicroseconds())
	m.published = m.histogram("event_to_published_seconds",
		"Time from the arrival of an event to the end of the writes that it caused for one policy.", fromMilliseconds())
	m.objects = register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "objects", Help: "Objects known, by resource.",
	}, []string{"resource"}))
	m.writes = register(m, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "writes_total", Help: "Requests that write PolicyEndpoints, by verb and result.",
	}, []string{"verb", "result"}))
	m.events = register(m, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "events_total", Help: "Requests that record Events on policies, by reason and result.",
	}, []string{"reason", "result"}))
	return m
}

// The boundaries of histograms.
func fromMicroseconds() []float64 { return prometheus.ExponentialBuckets(50e-6, 2, 18) } // 50 µs to 6.6 s
func fromMilliseconds() []float64 { return prometheus.ExponentialBuckets(1e-3, 2, 16) }  // 1 ms to 33 s

func register[C prometheus.Collector](m *metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

func (m *metrics) gauge(name, help string) prometheus.Gauge {
	return register(m, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	return register(m, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (m *metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(m, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}))
}
