// Package agent is the node's part: it takes PolicyEndpoints and the pods of its node, compiles them (package enforce)
// and makes the kernel hold the result (package bpf).
//
// Run is the agent of production. Its decisions are in package core; here is what happens around them: the watch of
// the API server, the notifications of the kernel (package hostnet), the socket for the CNI plugin (package socket),
// the writes, and what it shows of itself (package metrics). Agent does one step at a time for callers that know the
// pods and the policies themselves.
package agent
