package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-netpol/palisade/bpf"
)

// packets collects the kernel's counters when they are asked for.
type packets struct {
	read func() ([]bpf.Counter, error)
	desc *prometheus.Desc
}

func newPackets(read func() ([]bpf.Counter, error)) packets {
	return packets{read, prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "packets_total"),
		"Packets decided by the kernel, by the pod's direction, verdict and reason.",
		[]string{"direction", "verdict", "reason"}, nil)}
}

// Describe implements prometheus.Collector.
func (p packets) Describe(ch chan<- *prometheus.Desc) { ch <- p.desc }

// Collect implements prometheus.Collector.
func (p packets) Collect(ch chan<- prometheus.Metric) {
	counters, err := p.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(p.desc, err)
		return
	}
	for _, c := range counters {
		if c.Packets > 0 {
			ch <- prometheus.MustNewConstMetric(p.desc, prometheus.CounterValue, float64(c.Packets),
				c.Direction.String(), c.Reason.Verdict().String(), c.Reason.String())
		}
	}
}
