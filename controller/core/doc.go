// Package core decides what the controller does: it takes inputs one by one and answers with effects. It has no
// goroutines, no clock and no I/O, so the same code runs in production (package publish) and in a simulation that owns
// time, delivery and faults.
//
// Whoever runs a Core feeds it every object that is Seen or Gone, executes the effects, and feeds back what came of
// them. A Queue effect asks for a Due input for a policy; policies may wait in any order and be merged, but effects of
// one Due are to be executed before the next Due of the same policy.
//
// # Writes
//
// A Write carries preconditions, so that of two controllers that both believe to be the leader neither overwrites what
// it has not seen. Writes of a policy come in phases, to be executed one after the other; those of one phase may run
// side by side. New rules are published first, then new pods; then pods go, and rules go last. So whoever applies (all
// pods) × (all rules) without waiting for a complete set never sees a pod without its rules, and an item that moves
// from one chunk to another is never in neither.
//
// # Whose objects
//
// Only objects that this project made are ever written: owned by the policy with its UID, and annotated; one that is
// annotated and has lost its owner is taken over by the policy that it names, or deleted with it. Objects of a
// policy that went are deleted if this process saw it go, and by the garbage collector, which asks the API server,
// otherwise: a policy that has not been seen may be news that is late. Objects that another controller published for
// the same policy are left alone and warned of: with them the set is not complete, and our agents keep what they had.
package core
