// Package publish runs the controller: it feeds package core what Reflectors see, executes the writes that core asks
// for, and lets only one replica of several do so.
//
// Every replica follows all objects, so a new leader publishes at once. A leader that cannot renew its Lease in time, such
// as when the API server is away for longer, stops writing and stands for election again, with all that it knows. When it
// leads again, or another replica does, everything is compared with what is published, so nothing is lost that was due
// before, and nothing that changed meanwhile: every replica lists again what it had watched, within two seconds of the
// API server's return. Agents enforce until then what they know. What two replicas write at the same time, the
// preconditions of the writes sort out.
package publish
