package publish

import "k8s.io/client-go/util/workqueue"

// queueMetrics shows a work queue among metrics. It implements workqueue.MetricsProvider for one queue, whose name is
// of no interest.
type queueMetrics struct{ *metrics }

var _ workqueue.MetricsProvider = queueMetrics{}

func (m queueMetrics) NewDepthMetric(string) workqueue.GaugeMetric {
	return m.gauge("queue_depth", "Policies that are waiting for a worker.")
}

func (m queueMetrics) NewAddsMetric(string) workqueue.CounterMetric {
	return m.counter("queue_adds_total", "Policies that were queued.")
}

func (m queueMetrics) NewLatencyMetric(string) workqueue.HistogramMetric {
	return m.histogram("queue_latency_seconds", "Time that a policy waited for a worker.", fromMicroseconds())
}

func (m queueMetrics) NewWorkDurationMetric(string) workqueue.HistogramMetric {
	return m.histogram("queue_work_duration_seconds", "Time that a worker spent on a policy.", fromMicroseconds())
}

func (m queueMetrics) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return m.gauge("queue_unfinished_work_seconds", "Time spent so far on policies that are being worked on.")
}

func (m queueMetrics) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return m.gauge("queue_longest_running_worker_seconds", "Time that the slowest worker has spent on its policy.")
}

func (m queueMetrics) NewRetriesMetric(string) workqueue.CounterMetric {
	return m.counter("queue_retries_total", "Policies that were queued again after a failure.")
}
