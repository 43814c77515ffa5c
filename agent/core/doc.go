// Package core decides what the agent of a node does next. It is one step function over values:
//
//	State.Step(now, Input) → []Effect
//
// There are no goroutines, clocks or I/O in it: PolicyEndpoints, interfaces, requests of the CNI plugin, results of
// effects and the time come in as Inputs; the tables to write, the interfaces to attach to and the answers go out as
// Effects, which the caller runs in order and whose results it feeds back. The same State runs in production and in
// tests that play any order of events, delays and failures.
//
// What it promises:
//
//   - A policy takes effect as a whole: as long as only some of its PolicyEndpoints are there, what was in force stays.
//     Pods that only the incomplete version names close when that lasts.
//   - Nothing is written before the PolicyEndpoints and the interfaces of the node are known, so that what an earlier
//     agent left in the kernel stays in force through a restart.
//   - Whatever fails is tried again, later each time, and named in a Condition until it succeeds.
//
// The trap: an Effect is a promise to the State. One that is dropped without a result stops everything that waits for
// it.
package core
