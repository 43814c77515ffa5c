package core

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/enforce"
)

// Config says for which node a State works, and how. The zero value of each optional field is its default.
type Config struct {
	// NodeAddrs are the node's own addresses. Required.
	NodeAddrs []netip.Addr
	// NodePorts: see enforce.Input.
	NodePorts enforce.PortRange
	// Strict closes pods until a policy that selects them is in force; otherwise they are open until then.
	Strict bool
	// Finder finds the interfaces of pods; default: ByName with LinkPrefixes, then ByRoute.
	Finder Finder
	// LinkPrefixes begin the names of the only interfaces that are pods' although neither a policy nor the CNI plugin
	// names the pod, and those are from the moment they exist; default: see State.isPods.
	LinkPrefixes []string
	// MayRoute are the pods that may send from addresses which are not their own; default: none. Of a pod whose name is not known
	// the source is compared.
	MayRoute []NamePattern
	// Settle is how long an entry that disappeared from an object of another controller stays in force while it may be
	// about to appear in another object; default: half a second.
	Settle time.Duration
	// Grace is how long a policy may be incomplete before those of the pods that it selects are closed for which there
	// is nothing to fall back on; default: ten seconds.
	Grace time.Duration
	// Silence is how long the API server may give no answer before a condition says so; default: five seconds.
	Silence time.Duration
	// RetryFirst and RetryMax bound the time between attempts at what fails; default: 50 ms and 30 s.
	RetryFirst, RetryMax time.Duration
}

func (c Config) withDefaults() Config {
	c.Settle, c.Grace = cmp.Or(c.Settle, time.Second/2), cmp.Or(c.Grace, 10*time.Second)
	c.Silence = cmp.Or(c.Silence, 5*time.Second)
	c.RetryFirst, c.RetryMax = cmp.Or(c.RetryFirst, 50*time.Millisecond), cmp.Or(c.RetryMax, 30*time.Second)
	if c.Finder == nil {
		c.Finder = FirstOf{ByName{c.LinkPrefixes}, ByRoute{}}
	}
	return c
}

func (c *Config) backoff() backoff { return backoff{first: c.RetryFirst, max: c.RetryMax} }

// State is everything that the agent knows.
type State struct {
	cfg      Config
	now      time.Time
	out      []Effect
	policies *policies
	host     *Host
	ifaces   map[uint32]*iface
	requests map[uint64]*request
	programs programs
	versions versions

	synced, hostKnown bool // the PolicyEndpoints and the node's network are known
	begun             bool // what was known at the start is in force, on every interface that can be filtered
	instances         int  // of interfaces, so far
	silence           silence
	leftovers         leftovers
	inspection        inspection
	reported          []enforce.Condition
	wakeAt            time.Time
}

// New returns the state of an agent that knows nothing yet.
func New(cfg Config) *State {
	cfg = cfg.withDefaults()
	return &State{
		cfg:        cfg,
		policies:   newPolicies(timing{cfg.Settle, cfg.Grace}),
		host:       newHost(),
		ifaces:     map[uint32]*iface{},
		requests:   map[uint64]*request{},
		programs:   programs{retry: cfg.backoff(), again: cfg.backoff()},
		leftovers:  leftovers{gone: map[uint32]*removal{}, others: removal{retry: cfg.backoff()}},
		inspection: inspection{touched: map[uint32]struct{}{}},
	}
}

// Step takes an Input that happened at a time, which must not be before that of the last Step, and returns what to do.
func (s *State) Step(now time.Time, in Input) []Effect {
	s.now, s.out = now, nil
	s.take(in)
	if s.policies.due(now) {
		s.touch()
	}
	s.advance()
	s.program()
	s.advance() // the interfaces that a program's policies led to
	s.inspect()
	s.shut()
	s.answer()
	s.cleanUp()
	s.report()
	s.wake()
	filtering := s.filtering()
	s.versions.settle(s.programs, s.policies.unsettled() || filtering)
	s.begun = s.begun || s.programs.done > 0 && !filtering
	return s.out
}

// take notes what happened.
func (s *State) take(in Input) {
	switch in := in.(type) {
	case Listed, Changed, Deleted:
		s.takeEndpoints(in)
	case Asked:
		s.silence.asked(s.now, in.Err)
	case Restored:
		s.restore(in)
	case HostListed:
		s.listHost(in)
	case LinkSeen:
		s.seeLink(in.Link)
	case LinkGone:
		s.linkGone(in)
	case RouteSeen:
		s.reroute(in.Route, func() { s.host.routes.add(in.Route, in.Replaces) })
		s.consider(in.Route.Ifindex)
	case RouteGone:
		s.reroute(in.Route, func() { s.host.routes.remove(in.Route) })
	case RoutesGone:
		s.touchIf(s.host.routes.forget(in.Ifindex))
	case FiltersTouched:
		s.filtersTouched(in)
	case PodAdded:
		s.addPod(in)
	case PodChecked:
		s.checkPod(in)
	default:
		s.takeResult(in)
	}
}

func (s *State) takeEndpoints(in Input) {
	switch in := in.(type) {
	case Listed:
		s.touchIf(s.policies.replace(s.now, in.Objects) || !s.synced)
		s.synced = true
		s.versions.seen = in.Version
	case Changed:
		s.versions.seen = in.Object.ResourceVersion
		s.touchIf(s.policies.set(s.now, in.Object))
	case Deleted:
		s.versions.seen = in.Version
		s.touchIf(s.policies.remove(s.now, in.Name))
	}
}

// takeResult notes how an effect ended.
func (s *State) takeResult(in Input) {
	switch in := in.(type) {
	case Introduced:
		s.stepped(in.Ifindex, in.Instance, introducing, introduced, unseen, in.Err)
	case Attached:
		s.attached(in)
	case Inspected:
		s.inspected(in)
	case LinkSet:
		s.linkSet(in)
	case Programmed:
		s.programmed(in)
	case Pruned:
		s.leftovers.others.end(s.now, in.Err)
	case Detached:
		s.detached(in)
	}
}

// Ready says whether everything that was known last is in force. Interfaces that come later are on their way to being filtered
// without making a difference, and one that cannot be filtered is told in a condition.
func (s *State) Ready() bool {
	return s.begun && s.programs.retry.err == nil
}

// touch notes that what is in force may be out of date.
func (s *State) touch() {
	s.programs.dirty = true
	s.programs.since = earlier(s.programs.since, s.now)
}

func (s *State) touchIf(changed bool) {
	if changed {
		s.touch()
	}
}

func (s *State) emit(e Effect) { s.out = append(s.out, e) }

// sortedIfaces returns the interfaces in the order of their indexes.
func (s *State) sortedIfaces() []*iface {
	return slices.SortedFunc(maps.Values(s.ifaces), func(a, b *iface) int { return cmp.Compare(a.ifindex, b.ifindex) })
}

// wake asks for the next tick, if it is another one than was asked for. What was due by now was either done in this
// step or waits for a result.
func (s *State) wake() {
	var at time.Time
	for _, t := range s.times() {
		if t.After(s.now) {
			at = earlier(at, t)
		}
	}
	if !at.IsZero() && !at.Equal(s.wakeAt) {
		s.emit(Wake{at})
	}
	s.wakeAt = at
}

// times lists when something is to be done, past times and zero included.
func (s *State) times() []time.Time {
	list := []time.Time{s.policies.next(), s.programs.retry.at, s.programs.again.at, s.leftovers.others.retry.at,
		s.silence.since.Add(s.cfg.Silence)}
	for _, r := range s.leftovers.gone {
		list = append(list, r.retry.at)
	}
	for _, i := range s.ifaces {
		list = append(list, i.retry.at, i.link.retry.at)
	}
	for _, r := range s.requests {
		list = append(list, r.Deadline)
	}
	return list
}

// report tells the conditions, if they changed.
func (s *State) report() {
	all := slices.Concat(s.programs.conditions, s.programs.failure(), s.policies.conditions(), s.ifaceConditions(),
		s.filterConditions(), s.leftovers.conditions(), s.silence.conditions(s.now, s.cfg.Silence))
	slices.SortFunc(all, func(a, b enforce.Condition) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
	})
	all = slices.Compact(all)
	if !slices.Equal(all, s.reported) {
		s.reported = all
		s.emit(Report{all})
	}
}
