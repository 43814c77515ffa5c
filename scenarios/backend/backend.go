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
	// Outside makes hosts outside the cluster: who they are does not change as long as the session lives. It is called at
	// most once, before the first Apply.
	Outside(ctx context.Context, hosts []Host) error
	// Keep opens one connection as Probe does and, if it is Connected, keeps it under a name until an end goes or the
	// session is closed.
	Keep(ctx context.Context, name string, p Probe) (Observation, error)
	// Exchange asks a question over every kept connection named and tells which way packets pass, in the same order.
	// timeout is how long each of them may take. Where the question does not arrive, the end that took the connection
	// speaks up by itself, as it could.
	Exchange(ctx context.Context, names []string, timeout time.Duration) ([]Passage, error)
	// Close removes everything that the other methods created.
	Close() error
}

// Live is a Session on a cluster that gives its own addresses and enforces policies in its own time. Who observes it waits
// until what he sees is stable.
type Live interface {
	Session
	// Actual returns the cluster of the last Apply as its API server has it, under the names of the scenario, and when the
	// last of it was about to be written. It is not modified.
	Actual(ctx context.Context) (c *model.Cluster, changed time.Time, err error)
}

// Elsewhere is a Live session whose hosts outside have other addresses than those that Outside was told.
type Elsewhere interface {
	// Hosts returns the hosts that Outside made.
	Hosts() []Host
}

// Host is a host outside the cluster.
type Host struct {
	Name  string // "external/NAME"
	Addrs []netip.Addr
}

// Probe is one connection attempt.
type Probe struct {
	// From is "namespace/pod", "external/NAME", or "node/NAME" for a process in the node's own network namespace.
	From     string
	To       netip.AddrPort // of a pod, a node (a node port too), a Service's ClusterIP or a host outside
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
	Answered string        // "namespace/pod", "node/NAME" or "external/NAME" of the listener that answered, if one did
	RTT      time.Duration // from the first packet to the answer; 0 where there was none
	Port     uint16        // the connection's source port, 0 where the backend does not know it
	Detail   string        // for people: the error, the ICMP type, …
}

// Passage tells which way packets of a kept connection pass.
type Passage struct {
	There bool // from the end that opened it
	Back  bool // to the end that opened it
	// Detail is for people: that the connection was torn down, and how.
	Detail string
}

// String returns a few words.
func (p Passage) String() string {
	text := "nothing passes"
	switch {
	case p.There && p.Back:
		text = "packets pass both ways"
	case p.There:
		text = "packets pass there, but not back"
	case p.Back:
		text = "packets pass back, but not there"
	}
	if p.Detail != "" {
		text += " (" + p.Detail + ")"
	}
	return text
}
