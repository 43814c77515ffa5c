package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/enforce"
)

// event is an Input and when it happened.
type event struct {
	at    time.Time
	input core.Input
}

// loop owns the State: it takes events in order, and passes effects on to those who run them.
type loop struct {
	state      *core.State
	events     *queue[event]
	tables     *queue[core.Effect]
	interfaces *queue[core.Effect]
	metrics    *metrics.Metrics
	log        *slog.Logger

	last    time.Time // of the last event: time does not go back
	timer   *time.Timer
	ready   atomic.Bool
	inForce atomic.Value // string: see core.State.InForce
	beat    atomic.Int64 // when the last event was done, in nanoseconds since 1970
	known   map[enforce.Condition]bool
	mu      sync.Mutex
	waiting map[uint64]chan core.Answer // requests, by number
	asked   uint64
}

func newLoop(cfg core.Config, m *metrics.Metrics, log *slog.Logger) *loop {
	return &loop{
		state: core.New(cfg), events: newQueue[event](), tables: newQueue[core.Effect](),
		interfaces: newQueue[core.Effect](), metrics: m, log: log, known: map[enforce.Condition]bool{},
		waiting: map[uint64]chan core.Answer{},
	}
}

// tell queues an Input that happens now.
func (l *loop) tell(in core.Input) { l.events.put(event{time.Now(), in}) }

// run takes events until ctx is done.
func (l *loop) run(ctx context.Context) {
	defer func() {
		if l.timer != nil {
			l.timer.Stop()
		}
	}()
	for {
		events, ok := l.events.take(ctx)
		if !ok {
			return
		}
		for _, e := range events {
			l.step(e)
		}
	}
}

func (l *loop) step(e event) {
	if e.at.Before(l.last) {
		e.at = l.last
	}
	l.last = e.at
	for _, effect := range l.state.Step(e.at, e.input) {
		l.start(effect)
	}
	l.ready.Store(l.state.Ready())
	l.inForce.Store(l.state.InForce())
	l.beat.Store(time.Now().UnixNano())
}

// start passes an effect on.
func (l *loop) start(e core.Effect) {
	switch e := e.(type) {
	case core.Program, core.Introduce, core.Prune:
		l.tables.put(e)
	case core.Attach, core.Detach, core.Inspect, core.SetLink:
		l.interfaces.put(e)
	case core.Lost:
		l.metrics.Lost()
		l.log.Warn("somebody removed or replaced the filter of an interface", "interface", e.Ifindex, "object", e.Object)
	case core.Regained:
		l.metrics.Regained(e.After)
		l.log.Info("the interface is filtered again", "interface", e.Ifindex, "object", e.Object, "after", e.After)
	case core.Answer:
		l.answer(e)
	case core.Wake:
		l.wake(e.At)
	case core.Report:
		l.report(e.Conditions)
	}
}

// work runs the effects of a queue one after the other until ctx is done.
func (l *loop) work(ctx context.Context, effects *queue[core.Effect], run func(core.Effect) core.Input) {
	for {
		list, ok := effects.take(ctx)
		if !ok {
			return
		}
		for _, e := range list {
			l.tell(run(e))
		}
	}
}

func (l *loop) wake(at time.Time) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(time.Until(at), func() { l.tell(core.Tick{}) })
}

// report logs conditions that are new or over.
func (l *loop) report(all []enforce.Condition) {
	now := map[enforce.Condition]bool{}
	for _, c := range all {
		now[c] = true
		if !l.known[c] {
			l.log.Warn("not enforced as written", "object", c.Object, "problem", c.Message)
		}
	}
	for c := range l.known {
		if !now[c] {
			l.log.Info("enforced as written again", "object", c.Object, "problem", c.Message)
		}
	}
	l.known = now
	l.metrics.Conditions(all)
}

// ask queues a request and waits for the answer.
func (l *loop) ask(ctx context.Context, request func(id uint64) core.Input) (core.Answer, error) {
	reply := make(chan core.Answer, 1)
	l.mu.Lock()
	l.asked++
	id := l.asked
	l.waiting[id] = reply
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, id)
	}()
	l.tell(request(id))
	select {
	case <-ctx.Done():
		return core.Answer{}, context.Cause(ctx)
	case a := <-reply:
		return a, a.Err
	}
}

func (l *loop) answer(a core.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reply, ok := l.waiting[a.Request]; ok {
		reply <- a
	}
}
