package core

import (
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// Effect is something to be done. The types of this file are all there are.
type Effect interface{ effect() }

// Program asks to compile an input and to make the kernel hold the result. At most one is under way; the result comes
// back as Programmed. It must be run after the Introduces and before those that were asked for before and after it.
type Program struct {
	Input enforce.Input
	// Since is when the oldest change happened that is in this input and was in none before; zero if none did.
	Since time.Time
	// Names are those that the CNI plugin told, to be noted for the next agent, by interface.
	Names map[uint32]bpf.PodName
}

// Introduce asks for the entry of a pod of which nothing is known yet. The result comes back as Introduced.
type Introduce struct{ Pod bpf.Pod }

// Attach asks to put the programs of this version on an interface. The result comes back as Attached.
type Attach struct{ Ifindex, Instance uint32 }

// Detach asks to remove what is left of an interface, if that is gone indeed. The result comes back as Detached.
type Detach struct{ Ifindex uint32 }

// Inspect asks which programs are on interfaces. At most one is under way; the result comes back as Inspected. It must be run
// after the Attaches that were asked for before, and before those that are asked for after it.
type Inspect struct{ Ifindexes []uint32 }

// SetLink asks to take an interface down, or up again with the routes that it had. The result comes back as LinkSet.
type SetLink struct {
	Ifindex uint32
	Up      bool
}

// Lost tells that somebody else removed or replaced the programs of an interface. An Attach goes with it, or follows as soon as
// that opens nothing.
type Lost struct {
	Ifindex uint32
	Object  string // the pod, where it is known
}

// Regained tells that an interface that was Lost is filtered again, and how long after that was found.
type Regained struct {
	Ifindex uint32
	Object  string
	After   time.Duration
}

// Prune asks to remove what other versions left in the kernel. The result comes back as Pruned.
type Prune struct{}

// Answer answers a request, once.
type Answer struct {
	Request uint64
	// Programmed says that the policies known to select the pod are in force, not only that it is closed.
	Programmed bool
	Err        error
}

// Wake asks for a Tick at a time. A later Wake replaces an earlier one.
type Wake struct{ At time.Time }

// Report gives all conditions there are, sorted, whenever they changed.
type Report struct{ Conditions []enforce.Condition }

func (Program) effect()   {}
func (Introduce) effect() {}
func (Attach) effect()    {}
func (Detach) effect()    {}
func (Inspect) effect()   {}
func (SetLink) effect()   {}
func (Lost) effect()      {}
func (Regained) effect()  {}
func (Prune) effect()     {}
func (Answer) effect()    {}
func (Wake) effect()      {}
func (Report) effect()    {}
