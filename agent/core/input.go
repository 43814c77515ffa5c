package core

import (
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// Input is something that happened. The types of this file are all there are.
type Input interface{ input() }

// Name is the namespace and name of an object.
type Name struct{ Namespace, Name string }

// String returns "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Listed are all PolicyEndpoints there are, read at one moment. The first one says that the cluster's state is known.
// Objects given to a State are never modified afterwards, by either side.
type Listed struct {
	Objects []*v1alpha1.PolicyEndpoint
	Version string // the resourceVersion of that moment
}

// Changed is a PolicyEndpoint that is new or different.
type Changed struct{ Object *v1alpha1.PolicyEndpoint }

// Deleted names a PolicyEndpoint that is gone.
type Deleted struct {
	Name    Name
	Version string // the resourceVersion of its deletion
}

// Asked says how a question to the API server ended.
type Asked struct {
	Err error // nil if it answered
}

// Link is a network interface of the node.
type Link struct {
	Ifindex uint32
	Name    string
	Veth    bool // only those can be a pod's
	// Leaf says that the other end is in another network namespace, and that no route leads on through it: only single
	// hosts are behind it.
	Leaf bool
}

// Route says that a way of the host to an address is an interface. There may be others; the lowest metric counts.
type Route struct {
	Addr    netip.Addr
	Ifindex uint32
	Metric  uint32
}

// HostListed are all interfaces of the node, and all its routes to single addresses. What changed since it began is
// told afterwards.
type HostListed struct {
	Begun  time.Time // what was seen later need not be in it; default: now
	Links  []Link
	Routes []Route
}

// LinkSeen is an interface that appeared or was renamed.
type LinkSeen struct{ Link Link }

// LinkGone is an interface that is gone. Another one may have its index by now.
type LinkGone struct {
	Ifindex uint32
	Name    string // that it had last, empty if that is not known
}

// RouteSeen is a route that appeared.
type RouteSeen struct {
	Route    Route
	Replaces bool // it took the place of what there was to the address with that metric
}

// RouteGone is a route that is gone.
type RouteGone struct{ Route Route }

// RoutesGone says that no route leads over an interface any more: the kernel does not tell of each one when an
// interface goes down.
type RoutesGone struct{ Ifindex uint32 }

// Restored is what an earlier agent left in the kernel: it comes first of all, if at all.
type Restored struct {
	Pods     []bpf.Pod // whose entries are in force, in the tables of this version
	Former   []bpf.Pod // that are only noted, while nothing is in force in these tables
	Attached []uint32  // interfaces that have programs, of any version
	Half     []uint32  // interfaces that have programs in one direction only
	Pinned   []uint32  // interfaces that links are pinned for, present or not
	Closed   []Closed
	Names    map[uint32]bpf.PodName // that were noted, by interface
}

// Closed is an interface that an earlier agent took down, and the addresses that it led to.
type Closed struct {
	Ifindex uint32
	Addrs   []netip.Addr
}

// FiltersTouched says that somebody, perhaps the agent itself, changed what is on the hooks of an interface, or of all of
// them, where the Ifindex is 0. It also comes once in a while, since not every change is told.
type FiltersTouched struct {
	Ifindex uint32
	Removed bool // something was taken away
}

// Others is what others run on an interface, for people; empty where that is nothing.
type Others struct {
	Before string // our programs, which do not see what these let pass for good
	Behind string // our programs, where it sees no packet
}

// Inspected is the result of the effect Inspect: the interfaces that are not filtered by programs of this version.
type Inspected struct {
	Bare   []uint32          // not filtered at all
	Half   []uint32          // filtered in one direction only, by programs of any version
	Older  []uint32          // filtered, by programs of another version
	Others map[uint32]Others // on all that were looked at
	Err    error             // nothing is known
}

// LinkSet is the result of the effect SetLink.
type LinkSet struct {
	Ifindex uint32
	Up      bool
	Err     error
}

// Pod is a pod as the CNI plugin names it.
type Pod struct {
	Namespace, Name, UID string
	Addrs                []netip.Addr
	Ifindex              uint32 // the host's side of its veth
}

// PodAdded asks to be answered when the pod may start; see Answer. After the deadline the answer is an error.
type PodAdded struct {
	Request  uint64
	Pod      Pod
	Link     Link // its interface, perhaps before the kernel told; default: as it was seen
	Deadline time.Time
}

// PodChecked asks whether the pod's interface is filtered.
type PodChecked struct {
	Request uint64
	Ifindex uint32
}

// Introduced is the result of the effect Introduce.
type Introduced struct {
	Ifindex, Instance uint32 // as in the effect
	Err               error
}

// Attached is the result of the effect Attach.
type Attached struct {
	Ifindex, Instance uint32 // as in the effect
	Gone              bool   // there is no such interface
	Err               error
}

// Detached is the result of the effect Detach.
type Detached struct {
	Ifindex uint32
	Lives   bool // there is such an interface, so nothing was removed
	Err     error
}

// Programmed is the result of the effect Program.
type Programmed struct {
	Conditions []enforce.Condition
	Err        error
	// Again is why more is closed than has to be, or will be after a restart, where Err is nil: what failed is tried again.
	Again error
}

// Pruned is the result of the effect Prune.
type Pruned struct{ Err error }

// Tick says that the time of a Wake has come.
type Tick struct{}

func (Listed) input()     {}
func (Changed) input()    {}
func (Deleted) input()    {}
func (Asked) input()      {}
func (HostListed) input() {}
func (LinkSeen) input()   {}
func (LinkGone) input()   {}
func (RouteSeen) input()  {}
func (RouteGone) input()  {}
func (RoutesGone) input() {}
func (Restored) input()   {}
func (PodAdded) input()   {}
func (PodChecked) input() {}
func (Introduced) input() {}
func (Attached) input()   {}
func (Detached) input()   {}
func (Programmed) input() {}
func (Pruned) input()     {}
func (Tick) input()       {}

func (FiltersTouched) input() {}
func (Inspected) input()      {}
func (LinkSet) input()        {}
