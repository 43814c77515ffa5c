package hook

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/palisade-netpol/palisade/model/flow"
)

// State says whose programs are on an interface.
type State uint8

// The states of an interface. The zero value is that of one that is not filtered.
const (
	Bare    State = iota // in some direction none of our programs, whatever else is there
	Older                // ours in both directions, but not both of this version
	Current              // ours of this version in both directions
)

// Look tells the State of each interface. What counts is which program runs, not where its filter says it came from: one of
// somebody else in the place of ours is none of ours. It says nothing about what runs before ours on the same hook.
func (h Hooks) Look(ifindexes ...int) ([]State, error) {
	states := make([]State, len(ifindexes))
	if len(ifindexes) == 0 {
		return states, nil
	}
	for i := range states {
		states[i] = Current
	}
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		ours, err := h.versions(dir)
		if err != nil {
			return nil, fmt.Errorf("look for %s programs: %w", dir, err)
		}
		for i, ifindex := range ifindexes {
			found, err := h.look(ifindex, dir, ours)
			if err != nil {
				return nil, fmt.Errorf("look for %s program on interface %d: %w", dir, ifindex, err)
			}
			states[i] = min(states[i], found)
		}
	}
	return states, nil
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
	states, err := h.Look(ifindex)
	return err == nil && states[0] != Bare, err
}

// look finds the best of our programs that runs on an interface in a direction, on either kind of hook.
func (h Hooks) look(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]State) (State, error) {
	found, err := lookTCX(ifindex, dir, ours)
	if err != nil || found == Current {
		return found, err
	}
	other, err := lookClsact(ifindex, dir, ours)
	return max(found, other), err
}

// lookTCX asks the interface itself: a link that is pinned may have been detached, or run the program of somebody else.
func lookTCX(ifindex int, dir flow.Direction, ours map[ebpf.ProgramID]State) (State, error) {
	running, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: tcxPoint(dir)})
	if err != nil {
		if errors.Is(err, ebpf.ErrNotSupported) || isGone(err) {
			return Bare, nil
		}
		return Bare, err
	}
	found := Bare
	for _, p := range running.Programs {
		found = max(found, ours[p.ID])
	}
	return found, nil
}

// versions are the States of those on whose interface a program runs.
func (h Hooks) versions(dir flow.Direction) (map[ebpf.ProgramID]State, error) {
	current, others, err := h.Node.Versions(dir)
	if err != nil {
		return nil, err
	}
	ours := map[ebpf.ProgramID]State{}
	for _, id := range others {
		ours[id] = Older
	}
	ours[current] = Current
	return ours, nil
}
