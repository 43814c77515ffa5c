package core

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/enforce"
)

// leftovers are what has to be removed from the kernel: what belonged to interfaces that are gone, at once, and what
// other versions left, when no interface uses it any more.
type leftovers struct {
	gone   map[uint32]*removal
	others removal
}

// removal is the state of one removal.
type removal struct {
	running, done bool
	lives         bool // the index was given again: nothing is removed before that interface is gone, too
	retry         backoff
}

func (r *removal) end(now time.Time, err error) {
	r.running = false
	if err != nil {
		r.retry.fail(now, err)
		return
	}
	r.done = true
	r.retry.succeed()
}

// leave notes that an interface is gone.
func (s *State) leave(ifindex uint32) {
	s.leftovers.gone[ifindex] = &removal{retry: s.cfg.backoff()}
}

func (s *State) detached(in Detached) {
	r := s.leftovers.gone[in.Ifindex]
	if r == nil {
		return
	}
	r.end(s.now, in.Err)
	r.lives = in.Lives
	if r.done && !r.lives {
		delete(s.leftovers.gone, in.Ifindex)
	}
}

// living are the indexes that were given again before anything was removed.
func (l *leftovers) living() (list []uint32) {
	for ifindex, r := range l.gone {
		if r.lives {
			list = append(list, ifindex)
		}
	}
	return list
}

// cleanUp asks for the removals that are due.
func (s *State) cleanUp() {
	for _, ifindex := range slices.Sorted(maps.Keys(s.leftovers.gone)) {
		if s.ifaces[ifindex] != nil {
			delete(s.leftovers.gone, ifindex) // the index was given again: attaching replaces what is left
			continue
		}
		if r := s.leftovers.gone[ifindex]; r.due(s.now) {
			r.running = true
			s.emit(Detach{ifindex})
		}
	}
	if r := &s.leftovers.others; s.programs.done > 0 && s.allAttached() && r.due(s.now) {
		r.running = true
		s.emit(Prune{})
	}
}

func (r *removal) due(now time.Time) bool { return !r.running && !r.done && r.retry.ready(now) }

// allAttached says that every interface runs the programs of this version.
func (s *State) allAttached() bool {
	for _, i := range s.ifaces {
		if i.phase != attached {
			return false
		}
	}
	return true
}

func (l *leftovers) conditions() []enforce.Condition {
	var list []enforce.Condition
	for ifindex, r := range l.gone {
		if r.retry.err != nil {
			list = append(list, enforce.Condition{
				Object:  fmt.Sprintf("interface %d", ifindex),
				Message: fmt.Sprintf("is gone, but not what was pinned for it: %v", r.retry.err),
			})
		}
	}
	if err := l.others.retry.err; err != nil {
		list = append(list, enforce.Condition{Object: "node", Message: fmt.Sprintf("remains of other versions: %v", err)})
	}
	return list
}
