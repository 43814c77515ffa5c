// Package engine answers "is this connection allowed?" in three independent ways behind one interface: by the
// reference model, by interpreting the compiled tables in Go, and by sending packets through the real eBPF program.
package engine

import (
	"context"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Engine judges connections of one cluster at a time. Engines are not safe for concurrent use.
type Engine interface {
	// Name is the word of the --engine flag: "model", "tables" or "kernel".
	Name() string
	// Load makes the engine judge c from now on. c must not be modified afterwards.
	Load(ctx context.Context, c *model.Cluster) error
	// Verdict judges a new connection. Engines other than model say what enforcement does, also where the API leaves it
	// open: they answer Undefined only where the ends share no address family.
	Verdict(q model.Query) (flow.Verdict, error)
	// Close releases what the engine holds in the kernel.
	Close() error
}
