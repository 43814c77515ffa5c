// Package backend says what a test cluster must do so that scenarios can be replayed on it with real traffic (or, for
// backend sim, with the packets real traffic would be made of).
package backend

import (
	"context"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Backend is one way to run a cluster.
type Backend interface {
	// Name is the word of BACKEND= and --backend: "sim", "netns", …
	Name() string
	// Available returns nil where the backend can run here, else one sentence that says what is missing.
	Available() error
	// Open starts an empty cluster of its own; sessions of one backend may run side by side.
	Open(ctx context.Context) (Session, error)
}

// Session is one running cluster.
type Session interface {
	// Apply makes the cluster hold exactly the objects of c (pods are told apart by UID: another UID under the same
	// name is another pod) and returns when the data plane enforces them.
	Apply(ctx context.Context, c *model.Cluster) error
	// Probe opens one new connection per probe, each from a fresh source port, and returns one Observation per probe
	// in the same order. An error means that the session is broken, never that a probe was blocked.
	Probe(ctx context.Context, probes []Probe) ([]Observation, error)
	// Close removes everything that Open and Apply created.
	Close() error
}

// Probe is one connection attempt.
type Probe struct {
	From     string // "namespace/pod", or "node/NAME" for a process in the node's own network namespace
	To       netip.AddrPort // address of a pod, a node, or a Service's ClusterIP
	Protocol flow.Protocol  // TCP, UDP or SCTP
	// Timeout is how long to wait for an answer before the probe counts as blocked.
	Timeout time.Duration
}

// Outcome tells what became of a probe.
type Outcome uint8

// The outcomes. The zero Outcome is no answer.
const (
	Invalid   Outcome = iota
	Connected         // the connection was made and the answer came back
	Blocked           // no answer within the time-out, and nothing arrived at the listener
	OneWay            // no answer, but the probe did arrive at the listener: its replies are lost
	Refused           // somebody answered with a reset or an ICMP error
)

// String returns one lower-case word.
func (o Outcome) String() string {
	return [...]string{"invalid", "connected", "blocked", "one-way", "refused"}[o]
}

// Observation is what became of one probe.
type Observation struct {
	Outcome  Outcome
	Answered string        // "namespace/pod" or "node/NAME" of the listener that answered, if one did
	RTT      time.Duration // from the first packet to the answer; 0 where there was none
	Detail   string        // for people: the error, the ICMP type, …
}
