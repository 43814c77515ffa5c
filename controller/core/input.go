package core

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Input is something that happened: Seen, Gone, Reviewed, Start, Stop, Due, Wrote or Told.
type Input interface{ input() }

// Seen is an object that was added or changed: a pointer to a Namespace, Pod, Service, EndpointSlice, NetworkPolicy or
// PolicyEndpoint, never to be modified again. Others are ignored.
type Seen struct{ Object any }

// Gone is an object that was deleted, as it was last known.
type Gone struct{ Object any }

// Reviewed is all PolicyEndpoints that the watch knows, at a moment when it knows everything up to a resourceVersion.
// It may come from time to time: of an object that this process created and somebody deleted while the watch was cut,
// no watch ever tells.
type Reviewed struct {
	UpTo   string
	Chunks map[types.NamespacedName]bool
}

// Start makes the Core ask for writes: every object there is has been Seen, and nobody else publishes.
type Start struct{}

// Stop ends what Start began. The Core goes on following objects.
type Stop struct{}

// Due is the answer to a Queue.
type Due struct{ Policy types.NamespacedName }

// Wrote is what came of a Write. Writes that were never tried, because an earlier phase failed, need no Wrote.
type Wrote struct {
	Write   Write
	Outcome Outcome
	Object  *v1alpha1.PolicyEndpoint // as the API server returned it, if Done and not Deleted
}

// OK reports whether what comes in later phases may build on it.
func (w Wrote) OK() bool {
	return w.Outcome == Done || w.Outcome == Missing && w.Write.Verb == Delete
}

// Told is what came of a Tell.
type Told struct {
	Tell Tell
	OK   bool
}

func (Seen) input()     {}
func (Gone) input()     {}
func (Reviewed) input() {}
func (Start) input()    {}
func (Stop) input()     {}
func (Due) input()      {}
func (Wrote) input()    {}
func (Told) input()     {}

// Outcome is what came of a Write.
type Outcome uint8

// The outcomes that make a difference.
const (
	Failed  Outcome = iota // for any reason: try again later
	Done                   // as asked
	Missing                // there is no such object any more
)
