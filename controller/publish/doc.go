// Package publish runs the controller: it feeds package core what informers see, executes the writes that core asks
// for, and lets only one replica of several do so.
//
// Every replica follows all objects, so a new leader publishes at once. A leader that loses its Lease ends: whoever
// started it starts it again. What two replicas write at the same time, the preconditions of the writes sort out.
package publish
