// Package agent is the node's part: it takes PolicyEndpoints and the pods of its node, compiles them (package enforce)
// and makes the kernel hold the result (package bpf).
package agent
