package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Command is what the runtime asks of the plugin, in the words of the CNI specification.
type Command string

// The commands.
const (
	Add    Command = "ADD"
	Del    Command = "DEL"
	Check  Command = "CHECK"
	Status Command = "STATUS"
)

// Request names a pod and what happens to it.
type Request struct {
	Command   Command `json:"command"`
	Namespace string  `json:"namespace,omitempty"`
	Name      string  `json:"name,omitempty"`
	UID       string  `json:"uid,omitempty"`
	// HostInterfaces are the interfaces that the plugins before this one made on the host; one is the pod's.
	HostInterfaces []string     `json:"hostInterfaces,omitempty"`
	Addresses      []netip.Addr `json:"addresses,omitempty"`
	// Patience is how long the caller waits, in nanoseconds; Call sets it. 0: as long as the agent needs.
	Patience time.Duration `json:"patience,omitempty"`
}

// maxMessage bounds a message, in bytes.
const maxMessage = 64 << 10

// validate returns what is wrong with a request.
func (r *Request) validate() error {
	switch r.Command {
	case Del, Status:
		return nil
	case Add, Check:
	default:
		return fmt.Errorf("unknown command %q", r.Command)
	}
	if r.Namespace == "" || r.Name == "" {
		return errors.New("the request names no pod")
	}
	if len(r.HostInterfaces) == 0 && len(r.Addresses) == 0 {
		return errors.New("the request has neither interfaces nor addresses")
	}
	return nil
}

// Response is the agent's answer.
type Response struct {
	Error string `json:"error,omitempty"`
	// Programmed says that the policies known to select the pod are in force, not only that the pod is closed.
	Programmed bool `json:"programmed"`
	// Took is how long the request took, in nanoseconds.
	Took time.Duration `json:"took"`
}
