package publish

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// queueMetrics shows the work queues, of which there is one at a time, among metrics. It implements
// workqueue.MetricsProvider; names are of no interest.
type queueMetrics struct {
	depth, unfinished, longest prometheus.Gauge
	adds, retries              prometheus.Counter
	latency, work              prometheus.Histogram
}

var _ workqueue.MetricsProvider = queueMetrics{}

func newQueueMetrics(m *metrics) queueMetrics {
	return queueMetrics{
		depth:      m.gauge("queue_depth", "Policies that are waiting for a worker."),
		adds:       m.counter("queue_adds_total", "Policies that were queued."),
		latency:    m.histogram("queue_latency_seconds", "Time that a policy waited for a worker.", fromMicroseconds()),
		work:       m.histogram("queue_work_duration_seconds", "Time that a worker spent on a policy.", fromMicroseconds()),
		unfinished: m.gauge("queue_unfinished_work_seconds", "Time spent so far on policies that are being worked on."),
		longest:    m.gauge("queue_longest_running_worker_seconds", "Time that the slowest worker has spent on its policy."),
		retries:    m.counter("queue_retries_total", "Policies that were queued again after a failure."),
	}
}

func (m queueMetrics) NewDepthMetric(string) workqueue.GaugeMetric            { return m.depth }
func (m queueMetrics) NewAddsMetric(string) workqueue.CounterMetric           { return m.adds }
func (m queueMetrics) NewLatencyMetric(string) workqueue.HistogramMetric      { return m.latency }
func (m queueMetrics) NewWorkDurationMetric(string) workqueue.HistogramMetric { return m.work }
func (m queueMetrics) NewRetriesMetric(string) workqueue.CounterMetric        { return m.retries }

func (m queueMetrics) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return m.unfinished
}

func (m queueMetrics) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return m.longest
}
