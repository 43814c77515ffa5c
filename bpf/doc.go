// Package bpf is the kernel side: the programs (C, in the folder c), the exact content of their maps as Go values
// (Image), and a Node that loads, pins and synchronises them. Package hook attaches them.
//
// The one trap: a Node is opened from its pins first, and only what is missing is created. Nothing here detaches a filter
// because a process starts or stops; a filter goes with its interface, or with hook.Hooks.Detach.
//
// Errors that callers branch on:
//
//	ErrTooLarge        an Image does not fit in the tables of this node; nothing was written
//	ErrNotSupported    the kernel lacks what the programs need (wraps the verifier's or the syscall's error)
//
// Nothing of Kubernetes is known in this package.
package bpf
