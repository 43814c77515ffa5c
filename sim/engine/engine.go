// Package engine answers "is this connection allowed?" in three independent ways behind one interface: by the
// reference model, by interpreting the compiled tables in Go, and by sending packets through the real eBPF program.
package engine

import (
	"context"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
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
	// Packet judges a packet of a connection, which need not be its first. Verdict judges connections of its own, each
	// from the source port that follows its destination port.
	Packet(p Packet) (flow.Verdict, error)
	// Close releases what the engine holds in the kernel.
	Close() error
}

// Packet is one packet of the connection that a Query describes.
type Packet struct {
	model.Query
	SrcPort uint16     // of the connection
	Kind    frame.Kind // its place in the connection
	Answer  bool       // it goes from Query.To to Query.From
	Error   bool       // it is an ICMP error that the receiver sends about the packet that the other fields describe
}
