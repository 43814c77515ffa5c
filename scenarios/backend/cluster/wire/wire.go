// Package wire is what the runner of scenarios and the probes in the pods of a cluster say to each other: one Request
// as JSON, one Reply as JSON, over `palisade-probe probe` in the pod.
package wire

import (
	"net/netip"
	"time"
)

// Request asks a probe for several things at once, which it does in the order of the fields. Whoever wants them one by
// one sends one at a time.
type Request struct {
	// Listen makes the probe answer at these ports from now on.
	Listen []Listener `json:"listen,omitempty"`
	// Probes are connections to open, side by side.
	Probes []Probe `json:"probes,omitempty"`
	// Keep is a connection to open and, if it is answered, to keep.
	Keep *Keep `json:"keep,omitempty"`
	// Ask asks a question over kept connections, by name.
	Ask []string `json:"ask,omitempty"`
	// Await waits for numbers over kept connections.
	Await []Await `json:"await,omitempty"`
	// Timeout is how long Ask and Await wait.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Arrived asks which connections of others arrived here.
	Arrived []Arrival `json:"arrived,omitempty"`
	// Heard asks which numbers have been heard over connections that others opened.
	Heard []uint64 `json:"heard,omitempty"`
	// Speak says numbers over connections that others opened.
	Speak []Speech `json:"speak,omitempty"`
	// HangUp closes kept connections, by name.
	HangUp []string `json:"hangUp,omitempty"`
	// Exit ends the probe, once it has replied, with this exit code.
	Exit *int `json:"exit,omitempty"`
}

// Listener is a port of one of the pod's addresses.
type Listener struct {
	Protocol string         `json:"protocol"` // TCP, UDP or SCTP
	At       netip.AddrPort `json:"at"`
}

// Probe is one connection attempt.
type Probe struct {
	Protocol string         `json:"protocol"`
	To       netip.AddrPort `json:"to"`
	// Timeout is how long to wait for an answer; 1 s where absent.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// Keep is a connection to keep under a name.
type Keep struct {
	Name string `json:"name"`
	Probe
}

// Await is a number that may come back over a kept connection.
type Await struct {
	Name   string `json:"name"`
	Number uint64 `json:"number"`
}

// Arrival is the first packet of a connection, as its listener sees it.
type Arrival struct {
	Protocol string `json:"protocol"`
	// From is where it came from; without an address, where that is not known.
	Addr netip.Addr `json:"addr,omitzero"`
	Port uint16     `json:"port"`
	At   uint16     `json:"at"` // the listener's port
}

// Speech is a number to say over the connection that was opened with another.
type Speech struct {
	Opening uint64 `json:"opening"`
	Number  uint64 `json:"number"`
}

// Reply answers a Request, each list in the order of the request's.
type Reply struct {
	// Error says why the request could not be carried out; everything else is meaningless then.
	Error   string   `json:"error,omitempty"`
	Results []Result `json:"results,omitempty"`
	Kept    *Kept    `json:"kept,omitempty"`
	Asked   []Asked  `json:"asked,omitempty"`
	Awaited []Asked  `json:"awaited,omitempty"`
	Arrived []bool   `json:"arrived,omitempty"`
	Heard   []bool   `json:"heard,omitempty"`
}

// The words of Result.Outcome.
const (
	Connected = "connected"
	Timeout   = "timeout" // nothing came back in time
	Refused   = "refused" // a reset or an ICMP error came back
	Error     = "error"   // the packet did not leave the pod
)

// Result is what became of a probe.
type Result struct {
	Outcome  string        `json:"outcome"`
	Answered string        `json:"answered,omitempty"` // the name of the probe that answered
	RTT      time.Duration `json:"rtt,omitempty"`
	Port     uint16        `json:"port,omitempty"` // source port
	Detail   string        `json:"detail,omitempty"`
}

// Kept is what became of a connection to keep.
type Kept struct {
	Result
	// Opening is the number it was opened with, where it was answered.
	Opening uint64 `json:"opening,omitempty"`
}

// Tally is what became of the connections of `palisade-probe blast`.
type Tally struct {
	Attempts  int        `json:"attempts"`
	Connected int        `json:"connected"`
	First     *time.Time `json:"firstConnected,omitempty"` // when the first and the last answer came back
	Last      *time.Time `json:"lastConnected,omitempty"`
	// LongestSilence is the longest time between two answers, in nanoseconds.
	LongestSilence time.Duration `json:"longestSilence"`
}

// Asked is what the opener of a kept connection knows of a question.
type Asked struct {
	Number uint64 `json:"number"`
	Back   bool   `json:"back"`
	Detail string `json:"detail,omitempty"`
}
