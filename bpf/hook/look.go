package hook

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/palisade-netpol/palisade/model/flow"
)

// State says whose programs are on an interface.
type State uint8

// The states of an interface. The zero value is that of one that is not filtered.
const (
	Bare    State = iota // none of our programs, whatever else is there
	Half                 // ours in one direction only: it is the interface that they were put on, and not filtered
	Older                // ours in both directions, but not both of this version
	Current              // ours of this version in both directions
)

// Seen is what was found on an interface.
type Seen struct {
	State State
	// Before names what others run before our programs, empty where that is nothing. A packet that one of these passes for
	// good, ours does not see.
	Before string
	// Behind likewise names what others run behind our programs, where those end the way of packets (bpf.Options.FinalVerdict), so that
	// it sees none. Otherwise it is empty: they see what ours lets pass.
	Behind string
	// Shares says that in some direction a program of another version decides by the tables of this one.
	Shares bool
}

// Look tells what is on each interface. What counts is which program runs, not where its filter says it came from: one of
// somebody else in the place of ours is none of ours.
func (h Hooks) Look(ifindexes ...int) ([]Seen, error) {
	seen := make([]Seen, len(ifindexes))
	if len(ifindexes) == 0 {
		return seen, nil
	}
	for n, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		ours, err := h.versions(dir)
		if err != nil {
			return nil, fmt.Errorf("look for %s programs: %w", dir, err)
		}
		for i, ifindex := range ifindexes {
			found, err := h.look(ifindex, dir, ours)
			if err != nil {
				return nil, fmt.Errorf("look for %s program on interface %d: %w", dir, ifindex, err)
			}
			s := &seen[i]
			if n > 0 {
				found.state = both(s.State, found.state)
			}
			s.State = found.state
			s.Shares = s.Shares || found.shares
			s.Before, s.Behind = enlist(s.Before, dir, found.before), enlist(s.Behind, dir, found.behind)
		}
	}
	return seen, nil
}

// enlist adds the programs of others in a direction to a list for people.
func enlist(list string, dir flow.Direction, others []string) string {
	for _, other := range others {
		list = strings.TrimPrefix(list+", "+dir.String()+" "+other, ", ")
	}
	return list
}

// both is the State of an interface by those of its directions.
func both(a, b State) State {
	if (a == Bare) != (b == Bare) {
		return Half
	}
	return min(a, b)
}

// LookAll is Look for all interfaces of this network namespace.
func (h Hooks) LookAll() (map[int]Seen, error) {
	ifindexes, err := interfaces()
	if err != nil {
		return nil, fmt.Errorf("look for programs: list interfaces: %w", err)
	}
	list, err := h.Look(ifindexes...)
	if err != nil {
		return nil, err
	}
	all := make(map[int]Seen, len(list))
	for i, seen := range list {
		all[ifindexes[i]] = seen
	}
	return all, nil
}

// Told says that the kernel tells whatever others do to our filters: on clsact it does (RTNLGRP_TC), on tcx it does not.
func (h Hooks) Told() bool {
	if h.Mode == Clsact {
		return true
	}
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: tcxPoint(flow.Egress)}) // loopback: every namespace has it
	return h.Mode == Auto && err != nil
}

// Has says whether one of our programs, of any version, is on an interface in both directions. The answer is about this very
// interface: what an earlier one with the same index had is gone with it.
func (h Hooks) Has(ifindex int) (bool, error) {
	seen, err := h.Look(ifindex)
	return err == nil && seen[0].State >= Older, err
}

// version is what is known of a program by its id. The zero value is that of one of somebody else.
type version struct {
	state  State
	shares bool // see Seen.Shares
}

// onHook is what runs on a hook: the best of our programs, and those of others before the first one of ours, or all where
// there is none of ours, and behind it.
type onHook struct {
	version
	before, behind []string
}

// add notes the next one that a packet comes by, by the name that it has if it is somebody else's.
func (o *onHook) add(v version, name func() string) {
	switch {
	case v.state != Bare:
	case o.state == Bare:
		o.before = append(o.before, name())
	default:
		o.behind = append(o.behind, name())
	}
	o.merge(v)
}

func (o *onHook) merge(v version) {
	o.state, o.shares = max(o.state, v.state), o.shares || v.shares
}

// look finds what runs on an interface in a direction, on either kind of hook: a packet comes by tcx first.
func (h Hooks) look(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]version) (onHook, error) {
	ends := h.Node.EndsPackets()
	found, err := lookTCX(ifindex, dir, ours)
	if err != nil || found.state == Current && !ends {
		found.behind = nil
		return found, err
	}
	next, err := lookClsact(ifindex, dir, ours)
	if found.state == Bare {
		found.before = append(found.before, next.before...)
	} else {
		found.behind = append(found.behind, next.before...)
	}
	found.behind = append(found.behind, next.behind...)
	if found.merge(next.version); found.state == Bare {
		found.before = nil
	}
	if found.state == Bare || !ends {
		found.behind = nil
	}
	return found, err
}

// lookTCX asks the interface itself: a link that is pinned may have been detached, or run the program of somebody else.
func lookTCX(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]version) (found onHook, err error) {
	running, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: tcxPoint(dir)})
	if err != nil {
		if errors.Is(err, ebpf.ErrNotSupported) || isGone(err) {
			return found, nil
		}
		return found, err
	}
	for _, p := range running.Programs {
		found.add(ours[p.ID], func() string { return fmt.Sprintf("program %d on tcx", p.ID) })
	}
	return found, nil
}

// versions are those of our programs, by id.
func (h Hooks) versions(dir flow.Direction) (map[ebpf.ProgramID]version, error) {
	current, others, err := h.Node.Versions(dir)
	if err != nil {
		return nil, err
	}
	ours := map[ebpf.ProgramID]version{}
	for _, other := range others {
		ours[other.Program] = version{Older, other.Shares}
	}
	ours[current] = version{state: Current}
	return ours, nil
}
