package core

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Effect is something to do: Queue, Write, Tell or Warn.
type Effect interface{ effect() }

// Queue asks for a Due of a policy: soon, or after a pause that grows with every Retry of it.
type Queue struct {
	Policy types.NamespacedName
	Retry  bool
}

// Write is one request to the API server.
type Write struct {
	Policy types.NamespacedName
	Phase  Phase
	Verb   Verb
	// Object is what to write. Its UID and resourceVersion are preconditions of Update and Delete.
	Object *v1alpha1.PolicyEndpoint
}

// Verb is the kind of a Write, in the words of the API.
type Verb string

// The verbs.
const (
	Create Verb = "create"
	Update Verb = "update"
	Delete Verb = "delete"
)

// Phase orders the writes of a policy.
type Phase uint8

// The phases in their order. A write that does several things belongs to the first that applies to it, except that
// pods never come before rules.
const (
	AddRules Phase = iota
	AddPods
	RemovePods
	RemoveRules // and all that changes neither, such as annotations
)

// Tell asks to record an Event of type Warning on a policy. Telling the same twice must do no harm.
type Tell struct {
	Policy types.NamespacedName
	UID    types.UID
	Reason string // one word, as in the Events of Kubernetes
	Note   string // for people
}

// Warn is for the log: something about an object that needs attention from who runs the cluster.
type Warn struct {
	Object string // "pod shop/web-1"
	Err    error
}

func (Queue) effect() {}
func (Write) effect() {}
func (Tell) effect()  {}
func (Warn) effect()  {}
