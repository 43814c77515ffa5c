package agent

import (
	"context"
	"errors"
	"time"

	"github.com/palisade-netpol/palisade/agent/flowlog"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/bpf"
)

// How often denials are read, which bounds how many the kernel has to keep, and how often they are written.
const (
	readEvery  = 50 * time.Millisecond
	writeEvery = time.Second
)

// denials writes the flow log.
type denials struct {
	events  *bpf.Events
	log     flowlog.Log
	metrics *metrics.Metrics
	failed  func(step string, err error) error
	err     error // of reading, since the last flush
}

// collectDenials begins to collect denials. A node whose denials cannot be read enforces all the same.
func (o Options) collectDenials(k *kernel) *denials {
	if o.FlowLog == nil {
		k.node.Mute() // an agent before may have been killed while it listened
		return nil
	}
	events, err := k.node.Listen()
	if k.failed("flow-log", err) != nil {
		return nil
	}
	k.enforced = flowlog.NewTables()
	return &denials{
		events: events, log: flowlog.Log{Node: o.NodeName, Tables: k.enforced, Out: o.FlowLog}, metrics: k.metrics, failed: k.failed,
	}
}

// run collects and writes until ctx is done.
func (d *denials) run(ctx context.Context) {
	read, write := time.NewTicker(readEvery), time.NewTicker(writeEvery)
	defer read.Stop()
	defer write.Stop()
	for {
		select {
		case <-read.C:
			d.read()
		case <-write.C:
			d.flush()
		case <-ctx.Done():
			d.read()
			d.flush()
			_ = d.failed("flow-log", d.events.Close())
			return
		}
	}
}

func (d *denials) read() {
	missed, err := d.events.Read(d.log.Add)
	d.log.Unread(missed)
	if err != nil {
		d.err = err
	}
}

func (d *denials) flush() {
	stats, err := d.log.Flush(time.Now())
	d.metrics.FlowLog(stats.Lines, map[string]uint64{
		"logged": stats.Logged, "left-out": stats.LeftOut, "unread": stats.Unread,
	})
	_ = d.failed("flow-log", errors.Join(d.err, err))
	d.err = nil
}
