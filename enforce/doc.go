// Package enforce compiles what a node has to enforce into what its kernel holds, in three pure and deterministic steps:
//
//	PolicyEndpoints + pods of the node ─ Compile ─► Program ─ Program.Image ─► bpf.Image
//
// A Program is the normal form: for each pod and direction a set of rules, each rule a set of peers and a set of ports,
// with the policy that it came from. Equal sets are one set, whatever the number of pods that have it. An Image gives
// numbers to the parts of a Program. The numbers are derived from content, so that a small change of the policies is
// a small change of the tables, without any memory of what was there before.
//
// Nothing is ever dropped silently: what cannot be read or does not fit closes the pods concerned in that direction, and
// is reported as a Condition.
package enforce
