package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/enforce"
)

// closeAfter is how many attempts to filter an interface fail before it counts as one that cannot be filtered: strict mode takes it down,
// and nobody waits for it.
const closeAfter = 2

// inspection looks after programs that are on interfaces: others may remove or replace them.
type inspection struct {
	running bool
	all     bool                // every interface is to be looked at
	touched map[uint32]struct{} // those that are to be looked at in any case
	err     error               // of the last look
}

// filtersTouched notes that programs may have been removed or replaced, or that what stood in our way may be gone.
func (s *State) filtersTouched(in FiltersTouched) {
	i := s.ifaces[in.Ifindex]
	switch {
	case in.Ifindex == 0:
		s.inspection.all = true
	case i != nil && i.settled():
		s.inspection.touched[in.Ifindex] = struct{}{}
	case i != nil && in.Removed:
		i.retry.at = time.Time{}
	}
}

// inspect asks to look at the interfaces that are taken to be filtered and may no longer be.
func (s *State) inspect() {
	look := &s.inspection
	if look.running || !look.all && len(look.touched) == 0 {
		return
	}
	var list []uint32
	for _, i := range s.sortedIfaces() {
		if _, touched := look.touched[i.ifindex]; (touched || look.all) && i.settled() {
			list = append(list, i.ifindex)
		}
	}
	look.all = false
	clear(look.touched)
	if len(list) > 0 {
		look.running = true
		s.emit(Inspect{list})
	}
}

// settled says that the interface is filtered, or half of it is, and nobody is about to change by what.
func (i *iface) settled() bool {
	return i.phase == attached || i.phase == introduced && (i.inherited || i.half)
}

// inspected takes the result of a look. Whatever changed since the look makes another one.
func (s *State) inspected(in Inspected) {
	s.inspection.running, s.inspection.err = false, in.Err
	for ifindex, others := range in.Others {
		if i := s.ifaces[ifindex]; i != nil {
			i.others = others
		}
	}
	for _, ifindex := range in.Bare {
		if i := s.ifaces[ifindex]; i != nil && i.settled() {
			s.lose(i)
		}
	}
	for _, ifindex := range in.Half {
		if i := s.ifaces[ifindex]; i != nil && i.settled() && !i.half {
			half := i.inherited && s.wouldOpen(i)
			s.lose(i)
			i.half = half
		}
	}
	for _, ifindex := range in.Older { // fine where nobody has attached this version yet
		if i := s.ifaces[ifindex]; i != nil && i.phase == attached {
			s.lose(i)
		}
	}
}

// wouldOpen says that the programs of this version would open an interface for lack of an entry, and not only leave it open.
func (s *State) wouldOpen(i *iface) bool { return !i.entered && !s.cfg.Strict && s.programs.done == 0 }

// lose notes that an interface is not filtered any more. The next step for it is to attach again.
func (s *State) lose(i *iface) {
	i.phase, i.inherited, i.half, i.lost = introduced, false, false, s.now
	s.emit(Lost{Ifindex: i.ifindex, Object: s.describe(i.ifindex)})
}

// regained notes that an interface is filtered again, if it was lost.
func (s *State) regained(ifindex uint32) {
	if i := s.ifaces[ifindex]; i != nil && i.phase == attached && !i.lost.IsZero() {
		s.emit(Regained{Ifindex: ifindex, Object: s.describe(ifindex), After: s.now.Sub(i.lost)})
		i.lost = time.Time{}
	}
}

// shutter is how the interface of a pod that cannot be filtered is closed in strict mode: it is taken down.
type shutter struct {
	closed, running bool
	again           bool // is to be closed again, in case somebody set it up
	retry           backoff
}

// shut takes interfaces down that cannot be filtered, and up again when they are. One that an earlier agent took down stays
// down until it is filtered.
func (s *State) shut() {
	for _, i := range s.sortedIfaces() {
		l := &i.link
		closed := s.cfg.Strict && !i.filtered() && (l.closed || i.retry.failures >= closeAfter)
		if (closed != l.closed || closed && l.again) && !l.running && l.retry.ready(s.now) {
			l.running, l.again = true, false
			s.emit(SetLink{Ifindex: i.ifindex, Up: !closed})
		}
	}
}

// linkSet takes the result of a SetLink.
func (s *State) linkSet(in LinkSet) {
	i := s.ifaces[in.Ifindex]
	if i == nil || !i.link.running {
		return
	}
	i.link.running = false
	if in.Err != nil {
		i.link.retry.fail(s.now, in.Err)
		return
	}
	i.link.closed = !in.Up
	i.link.retry.succeed()
}

// filterConditions name what is closed because it cannot be filtered. What is lost is mostly back before anybody could look.
func (s *State) filterConditions() []enforce.Condition {
	var list []enforce.Condition
	add := func(object, message string) { list = append(list, enforce.Condition{Object: object, Message: message}) }
	if err := s.inspection.err; err != nil {
		add("node", fmt.Sprintf("cannot tell whether interfaces are filtered: %v", err))
	}
	for _, ifindex := range slices.Sorted(maps.Keys(s.ifaces)) {
		i := s.ifaces[ifindex]
		if i.link.closed {
			add(s.describe(ifindex), "closed: its interface is down because it cannot be filtered")
		}
		if err := i.link.retry.err; err != nil {
			add(s.describe(ifindex), fmt.Sprintf("its interface can be set neither up nor down: %v", err))
		}
	}
	return list
}
