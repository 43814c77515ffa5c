// Package netns is the backend that runs a cluster on one Linux machine with real packets: nodes and pods are network
// namespaces, connections are sockets, Services are nftables and policies are the eBPF programs of package agent. The
// rules for Services are written by a real kube-proxy on every node where there is a real API server, and by package service
// where there is none.
//
// It needs root and, without an API server, nothing else: no container runtime, no image, no tool. Everything it makes hangs on descriptors of
// this process — namespaces without names (package ns), a BPF file system without a mount point (package pinfs) — so
// the kernel removes all of it when the process ends, be it by Close, Ctrl-C or SIGKILL, and there is nothing that a
// later run could find or mistake for its own. Nothing outside those namespaces is touched and no packet leaves them.
//
// A pod's link is set up only after its node's agent has programmed it, and a pod that is gone is taken from its agent
// only after its namespace has closed: no packet passes an interface that is not filtered as it should be.
//
// Pods of the host network share their node's namespace: they are probed from there, and what answers at the node's
// address calls itself "node/NAME".
package netns
