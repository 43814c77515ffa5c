package engine

import (
	"context"
	"errors"
	"runtime"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// modelEngine asks the reference model.
type modelEngine struct {
	model *model.Model // nil until Load
}

// NewModel returns the engine that says what must happen. Unlike other engines it may be asked from several goroutines
// once it is loaded.
func NewModel() Engine { return &modelEngine{} }

func (e *modelEngine) Name() string { return "model" }

func (e *modelEngine) Load(_ context.Context, c *model.Cluster) error {
	e.model = model.New(c)
	return nil
}

func (e *modelEngine) Verdict(q model.Query) (flow.Verdict, error) {
	if e.model == nil {
		return flow.Deny, errors.New("no cluster is loaded")
	}
	return e.model.Verdict(q), nil
}

// Packet answers for the connection as a whole: one that would not be allowed any more ends.
func (e *modelEngine) Packet(p Packet) (flow.Verdict, error) { return e.Verdict(p.Query) }

func (e *modelEngine) Close() error { return nil }

// Concurrent marks an engine that may be asked from several goroutines at once.
func (e *modelEngine) Concurrent() {}

// Askers returns how many goroutines can usefully ask e at the same time.
func Askers(e Engine) int {
	if _, ok := e.(interface{ Concurrent() }); ok {
		return runtime.GOMAXPROCS(0)
	}
	return 1
}
