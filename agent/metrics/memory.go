package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-netpol/palisade/bpf"
)

// memory collects what the kernel's tables take when it is asked for.
type memory struct {
	read func() ([]bpf.Memory, error)
	desc *prometheus.Desc
}

func newMemory(read func() ([]bpf.Memory, error)) memory {
	return memory{read, prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "kernel_memory_bytes"),
		"Memory of the kernel that a table takes.", []string{"table"}, nil)}
}

// Describe implements prometheus.Collector.
func (m memory) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m memory) Collect(ch chan<- prometheus.Metric) {
	list, err := m.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.desc, err)
		return
	}
	for _, t := range list {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(t.Bytes), t.Table)
	}
}
