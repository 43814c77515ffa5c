package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// metric adds up all lines of a metrics page with a name, whatever their labels.
func metric(page, name string) (float64, error) {
	sum := 0.0
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += value
	}
	return sum, nil
}

// controllerGauge is what a controller says of itself at one moment.
type controllerGauge struct {
	leading, depth, unfinished float64
	writes                     float64 // since it started
	selectorsAsked             float64 // since it started
}

func readController(ctx context.Context, p *program) (controllerGauge, error) {
	page, err := p.page(ctx, "/metrics")
	if err != nil {
		return controllerGauge{}, err
	}
	var g controllerGauge
	for name, to := range map[string]*float64{
		"leading": &g.leading, "queue_depth": &g.depth, "queue_unfinished_work_seconds": &g.unfinished,
		"writes_total": &g.writes, "selectors_asked_total": &g.selectorsAsked,
	} {
		if *to, err = metric(page, "palisade_controller_"+name); err != nil {
			return controllerGauge{}, err
		}
	}
	return g, nil
}

// etcdBytes is how much etcd has written to its log since it started.
func (b *bed) etcdBytes(ctx context.Context) (float64, error) {
	path := strings.TrimPrefix(b.cluster.EtcdEndpoint(), "unix://")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	page, err := fetch(ctx, dial, "http://etcd/metrics")
	if err != nil {
		return 0, err
	}
	written, err := metric(page, "etcd_disk_wal_write_bytes_total")
	if err == nil && written == 0 {
		err = fmt.Errorf("etcd does not tell how much it writes")
	}
	return written, err
}

// memory is what a process has in RAM, in MiB: now, and at most so far (proc_pid_status(5)).
type memory struct{ now, peak float64 }

func readMemory(pid int) (memory, error) {
	page, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	if m.now, err = statusLine(string(page), "VmRSS:"); err != nil {
		return memory{}, err
	}
	m.peak, err = statusLine(string(page), "VmHWM:")
	return m, err
}

// statusLine reads a line that ends in "kB".
func statusLine(page, name string) (float64, error) {
	for line := range strings.Lines(page) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == name && fields[2] == "kB" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of a process", name)
}
